// An application with pages and an API of its own, and Jotgate behind the same origin, as a reverse proxy puts it
// there. The proxy counts refreshes, and stands for the network between: it can be told to lose things.

import { createServer, request as ask } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { url as jotgate } from './browser.mjs';

const EXAMPLE = join(import.meta.dirname, '../../examples/browser');
const HTML = '<!doctype html><html lang="en"><head><title>App</title><link rel="icon" href="data:,">';

/**
 * Serves on `port` of this machine, which browsers call `host`.
 * `from`: the origin that its pages import jotgate.js from, their own unless told.
 */
export async function serve(port, { host = '127.0.0.1', from = '' } = {}) {
  const road = {
    url: `http://${host}:${port}`,
    /** Refreshes that a browser asked for. */
    refreshes: 0,
    /** What happens to the next ones, first to last: a function of (forward, response). */
    accidents: [],
  };
  const files = {
    '/': ['text/html', () => readFileSync(join(EXAMPLE, 'index.html'))],
    '/app.js': ['text/javascript', () => readFileSync(join(EXAMPLE, 'app.js'))],
    '/test': ['text/html', () => `${HTML}<script type="module" src="/test.js"></script></head><body></body></html>`],
    '/test.js': ['text/javascript', () => `import { Jotgate, JotgateError } from '${from}/jotgate.js';
      const jot = new Jotgate();
      const heard = [];
      for (const type of ['signin', 'signout']) {
        jot.addEventListener(type, ({ detail }) => heard.push(\`\${type} \${detail.username ?? detail}\`));
      }
      Object.assign(globalThis, { jot, heard, JotgateError });`],
  };
  const policy = `default-src 'none'; script-src 'self' ${from}; connect-src 'self' ${from}; img-src data:; frame-ancestors 'none'`;

  const server = createServer(async (request, response) => {
    const file = files[request.url];
    if (file) {
      response.writeHead(200, { 'content-type': `${file[0]}; charset=utf-8`, 'content-security-policy': policy });
      return response.end(file[1]());
    }
    if (request.url.startsWith('/api/')) return api(request, response);
    const forward = () => pass(request, response);
    if (request.url !== '/auth/refresh' || request.method !== 'POST') return forward();
    road.refreshes += 1;
    const accident = road.accidents.shift();
    return accident ? accident(forward, response) : forward();
  });
  await new Promise((listening) => server.listen(port, '127.0.0.1', listening));
  road.close = () => {
    server.close();
    server.closeAllConnections();
  };
  return road;
}

/** The application's API: tells who asked and what they sent, for whoever Jotgate says is signed in. */
async function api(request, response) {
  const body = [];
  for await (const piece of request) body.push(piece);
  const { cookie = '' } = request.headers;
  onward(response, { path: '/auth/verify', headers: { cookie } }, (verdict) => {
    verdict.resume();
    response.writeHead(verdict.statusCode === 200 ? 200 : 401, { 'content-type': 'application/json' });
    const { method } = request;
    const { length } = Buffer.concat(body);
    response.end(JSON.stringify({ user: verdict.headers['x-auth-username'] ?? null, method, length }));
  }).end();
}

function pass(request, response) {
  const { method, url: path, headers } = request;
  request.pipe(onward(response, { method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(response);
  }));
}

/** Asks Jotgate, on a connection of its own: an old one may be closed at the moment that it is used again. */
function onward(response, options, answered) {
  const { hostname, port } = new URL(jotgate);
  const asked = ask({ hostname, port, agent: false, ...options }, answered);
  return asked.on('error', () => response.destroy());
}
