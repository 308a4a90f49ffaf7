// Coming from an application and going back to it, and what a page of somebody else can do with ours: nothing.
// The application is a trusted origin; the stranger is not.

import { createServer } from 'node:http';
import { browse, check, url } from './browser.mjs';

const PASSWORD = 'four unrelated words here';
const APP_PORT = Number(process.env.APP_PORT);
const APP = `http://localhost:${APP_PORT}`;
const STRANGER_PORT = Number(process.env.STRANGER_PORT);
const STRANGER = `http://localhost:${STRANGER_PORT}`;

const html = (body) => `<!doctype html><html lang="en"><head><title>Elsewhere</title><link rel="icon" href="data:,"></head><body>${body}</body></html>`;
const pages = {
  '/': html('<h1>Home</h1>'),
  '/cb': html('<h1>Welcome back</h1>'),
  '/frame': html(`<h1>Frame</h1><iframe src="${url}/login" title="x"></iframe>`),
  '/login-csrf': html(`<form method="post" action="${url}/login"><input name="username" value="mallory">
    <input name="password" value="${PASSWORD}"><button>Win a prize</button></form>`),
  '/logout-csrf': html(`<form method="post" action="${url}/logout"><button>Win a prize</button></form>
    <img alt="" src="${url}/logout">`),
  '/links': html(`<a href="${url}/login?return_to=${encodeURIComponent(`${STRANGER}/cb`)}">Log in</a>`),
};
const serve = (port) => new Promise((listening) => {
  const server = createServer((request, response) => {
    response.writeHead(pages[request.url.split('?')[0]] ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' });
    response.end(pages[request.url.split('?')[0]] ?? '');
  });
  server.listen(port, '127.0.0.1', () => listening(server));
});

const at = (page) => new URL(page.url()).pathname;
const servers = [await serve(APP_PORT), await serve(STRANGER_PORT)];

async function signIn(page, username = 'bob') {
  await page.getByLabel('User name or e-mail').fill(username);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

try {
  await browse(async ({ page, context, shot }) => {
    // Chromium holds the redirect after a post to the form's page's policy: registration and login both lead back.
    const back = encodeURIComponent(`${APP}/cb?state=a%26b`);
    await page.goto(`${url}/login?return_to=${back}`);
    check(await page.getByText(`localhost:${APP_PORT}`).isVisible(), 'it is said where this leads');
    await shot('login-to-app');
    await page.getByRole('link', { name: 'Create an account' }).click();
    for (const name of ['mallory', 'bob']) {
      await context.clearCookies();
      await page.goto(`${url}/register?return_to=${back}`);
      await page.getByLabel('User name').fill(name);
      await page.getByLabel('Password').fill(PASSWORD);
      await page.getByRole('button', { name: 'Create account' }).click();
      check(page.url() === `${APP}/cb?state=a%26b`, `after registration: ${page.url()}`);
    }
    check((await page.evaluate(() => document.referrer)) === '', 'the application is not told where from');

    // Signed in already, with a good access cookie: to be sent back at once could go round in circles. It is asked.
    await page.goto(`${url}/login?return_to=${back}`);
    check(await page.getByRole('heading', { name: 'You are signed in' }).isVisible(), `asked: ${page.url()}`);
    await shot('continue');
    await page.getByRole('link', { name: 'Continue' }).click();
    check(page.url() === `${APP}/cb?state=a%26b`, `after the question: ${page.url()}`);

    // Out, and back to the application; then in again after a mistake, which keeps the way back.
    await page.goto(`${url}/logout?return_to=${back}`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    check(page.url() === `${APP}/cb?state=a%26b`, `after signing out: ${page.url()}`);
    await page.goto(`${url}/login?return_to=${back}`);
    await page.getByLabel('User name or e-mail').fill('bob');
    await page.getByLabel('Password').fill('wrong password here');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await signIn(page);
    check(page.url() === `${APP}/cb?state=a%26b`, `after a mistake: ${page.url()}`);

    // Everything else leads home (attack 148).
    const evil = [
      `${STRANGER}/cb`, `//localhost:${STRANGER_PORT}/cb`, `/\\localhost:${STRANGER_PORT}/cb`, '///evil.test', 'https:evil.test',
      `${url}@localhost:${STRANGER_PORT}/`, '/%09/evil.test', '/\t/evil.test', '/%5c%5cevil.test', '/..//evil.test',
      'javascript:alert(1)', 'data:text/html,x', '/login', '/logout',
    ];
    for (const return_to of evil) {
      await context.clearCookies();
      await page.goto(`${url}/login?return_to=${encodeURIComponent(return_to)}`);
      await signIn(page);
      check(page.url() === `${url}/account`, `${return_to} leads to ${page.url()}`);
    }
    await context.clearCookies();
    await page.goto(`${STRANGER}/links`);
    await page.getByRole('link').click();
    await signIn(page);
    check(page.url() === `${url}/account`, `a stranger's link leads to ${page.url()}`);

    // Nobody is signed out by a picture or by a stranger's form (attack 88).
    await page.goto(`${STRANGER}/logout-csrf`, { waitUntil: 'networkidle' });
    await page.getByRole('button').click();
    check(at(page) === '/logout' && (await page.getByText('csrf').isVisible()), `refused: ${page.url()}`);
    await shot('problem-csrf');
    await page.goto(`${url}/account`);
    check(await page.getByRole('heading', { level: 1, name: 'bob' }).isVisible(), 'bob is still signed in');

    // Nor signed in as somebody else (attack 76).
    await context.clearCookies();
    await page.goto(`${STRANGER}/login-csrf`);
    await page.getByRole('button').click();
    check(at(page) === '/login' && (await page.getByText('csrf').isVisible()), `refused: ${page.url()}`);
    check((await context.cookies()).length === 0, 'no cookie was set');
  }, {
    context: { javaScriptEnabled: false },
    // The picture that tries to sign somebody out.
    expected: [/\/logout: net::ERR_BLOCKED_BY_RESPONSE\.NotSameOrigin/, /console: .*ERR_BLOCKED_BY_RESPONSE\.NotSameOrigin/],
  });

  // Framed by anybody, the application included (attack 89).
  await browse(async ({ page }) => {
    for (const origin of [APP, STRANGER]) {
      await page.goto(`${origin}/frame`, { waitUntil: 'networkidle' });
      const frame = page.frames()[1];
      check(!(await frame.content()).includes('Password'), `framed by ${origin}`);
    }
  }, { expected: [/frame-ancestors/, /ERR_BLOCKED_BY_RESPONSE/, /X-Frame-Options/] });
} finally {
  for (const server of servers) server.close();
}
