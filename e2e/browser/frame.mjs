// Tests browser.mjs itself: a good page passes, and each kind of bad page fails.

import { createServer } from 'node:http';
import { browse, check } from './browser.mjs';

const html = (main) => `<!doctype html><html lang="en"><head><title>Page</title><link rel="icon" href="data:,"></head>
  <body><main><h1>Page</h1>${main}</main></body></html>`;
const pages = {
  '/good': html('<label>Name <input></label>'),
  '/unlabelled': html('<input>'),
  '/policy': html('<script>document.title = "run"</script>'),
  '/foreign': html('<img alt="x" src="http://example.com/x.png">'),
  '/console': html('<script src="/throws.js"></script>'),
  '/throws.js': 'throw new Error("thrown")',
};

const server = createServer((request, response) => {
  const page = pages[request.url];
  const type = request.url.endsWith('.js') ? 'text/javascript' : 'text/html';
  response.writeHead(page ? 200 : 503, {
    'content-type': `${type}; charset=utf-8`,
    'content-security-policy': "default-src 'self'; img-src * data:",
  });
  response.end(page ?? 'unavailable');
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const port = server.address().port;

async function complaint(path, options) {
  try {
    await browse(async ({ page, accessible }) => {
      await page.goto(`http://app.example.test:${port}${path}`);
      await accessible();
    }, { hosts: ['*.example.test'], ...options });
  } catch (error) {
    return error.message;
  }
  return '';
}

try {
  const said = await complaint('/good', { context: { colorScheme: 'dark' } });
  check(said === '', `the good page is complained about: ${said}`);
  for (const [path, pattern] of [
    ['/unlabelled', /accessibility: .*label/],
    ['/policy', /console: .*Content Security Policy/],
    ['/foreign', /request: http:\/\/example.com\/x.png: net::ERR_NAME_NOT_RESOLVED/],
    ['/console', /script: Error: thrown/],
    ['/unavailable', /answer: .*: 503/],
  ]) {
    const said = await complaint(path);
    check(pattern.test(said), `${path}: ${said || 'no complaint'}`);
  }
  check((await complaint('/policy', { expected: [/Content Security Policy/] })) === '', 'what is expected is complained about');
} finally {
  server.close();
}
