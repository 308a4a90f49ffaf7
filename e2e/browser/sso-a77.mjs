// Attack 77: unsafe requests that carry the browser's cookies, from every place that is not our own page. A form and a
// script of: a sibling, one without TLS and on another port, another root domain, a name like ours, a sandboxed frame,
// whose origin is `null`. Then the same by hand, as no browser would send it.

import { Applications, ask, at, cookie, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const port = process.env.PROXY_PORT;
const APP = at('app.example.test');
const PLACES = [
  APP,
  at('shop.other.test'),
  at('id.example.test.evil.test'),
  `http://shop.example.test:${process.env.APPLICATION_PORT}`,
];
const SESSION = '__Host-jwt_session';
const POSTS = [
  ['/auth/logout', 'text/plain', '{"all":true}'],
  ['/auth/refresh', 'text/plain', ''],
  ['/auth/password/change', 'text/plain', '{}'],
  ['/auth/login', 'text/plain', `{"username":"bob","password":"${process.env.PASSWORD}","delivery":"cookie"}`],
  ['/login', 'application/x-www-form-urlencoded', `username=bob&password=${encodeURIComponent(process.env.PASSWORD)}`],
  ['/logout', 'application/x-www-form-urlencoded', 'return_to=/'],
  ['/account/sessions', 'application/x-www-form-urlencoded', 'session=others'],
];

/** Those that would set or clear cookies. */
const ENTERS = ['/auth/login', '/login', '/logout'];

/**
 * How many of them are refused for where they are from: all that have our cookies, which the browser keeps from another
 * site, and else those. The rest comes from nobody, and does nothing.
 */
const countOf = (sameSite) => POSTS.filter(([path]) => sameSite || ENTERS.includes(path)).length;

/** Requests that were refused for where they came from. */
async function refused() {
  const metrics = await (await fetch(`${process.env.JOTGATE_E2E_URL}/metrics`)).text();
  return Number(/^jotgate_refusals_total\{code="csrf"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
}

/** Runs in a page: all of them, as any page may send them. */
const attack = async ({ id, posts }) => {
  for (const [path, type, body] of posts) {
    await fetch(id + path, { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'content-type': type }, body }).catch(() => {});
  }
};

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context }) => {
    await page.goto(`${APP}/page`);
    await signIn(page);
    await page.getByRole('heading', { level: 1, name: 'ada at app.example.test' }).waitFor();
    const session = await cookie(context, id, SESSION);
    const unharmed = async (by) => {
      check((await cookie(context, id, SESSION)) === session, `${by}: the session cookie is as it was`);
      await page.goto(`${id}/account`);
      await page.getByRole('heading', { level: 1, name: 'ada' }).waitFor();
    };

    for (const place of PLACES) {
      await page.goto(`${place}/open`);
      const before = await refused();
      await page.evaluate(attack, { id, posts: POSTS });
      check((await refused()) - before === countOf(place === APP), `${place}: ${(await refused()) - before} refused`);
      await unharmed(place);

      for (const [path, , body] of POSTS.filter(([, type]) => type.startsWith('application/'))) {
        await page.goto(`${place}/open`);
        const [answer] = await Promise.all([
          page.waitForResponse((response) => response.url() === id + path),
          page.waitForEvent('load'),
          page.evaluate(({ action, body }) => {
            const form = Object.assign(document.createElement('form'), { method: 'post', action });
            for (const [name, value] of new URLSearchParams(body)) form.append(Object.assign(document.createElement('input'), { name, value }));
            document.body.append(form);
            form.submit();
          }, { action: id + path, body }),
        ]);
        if (place === APP || ENTERS.includes(path)) check(answer.status() === 403, `a form of ${place} to ${path}: ${answer.status()}`);
        await unharmed(`a form of ${place} to ${path}`);
      }

      // A frame without an origin, in that place.
      await page.goto(`${place}/open`);
      const earlier = await refused();
      await page.evaluate(({ script }) => new Promise((done) => {
        addEventListener('message', done, { once: true });
        document.body.append(Object.assign(document.createElement('iframe'), { sandbox: 'allow-scripts', srcdoc: `<script>${script}</script>` }));
      }), { script: `(${attack})(${JSON.stringify({ id, posts: POSTS })}).then(() => parent.postMessage('', '*'))` });
      check((await refused()) - earlier === countOf(false), `a frame in ${place}: ${(await refused()) - earlier} refused`);
      await unharmed(`a frame in ${place}`);
    }

    // By hand, with all of the browser's cookies: what a browser says, or leaves out, in whatever way.
    const cookies = (await context.cookies(id)).map(({ name, value }) => `${name}=${value}`).join('; ');
    for (const says of [
      {},
      { origin: 'null' },
      { origin: `https://id.example.test:${port}.evil` },
      { origin: `https://id.example.test.evil.test:${port}` },
      { origin: 'https://id.example.test' },
      { origin: `https://id.example.test:${Number(port) + 1}` },
      { origin: `http://id.example.test:${port}` },
      { origin: `https://sub.id.example.test:${port}` },
      { origin: `https://example.test:${port}` },
      { origin: APP },
      { origin: `${id}/` },
      { origin: id.toUpperCase() },
      { origin: id, 'sec-fetch-site': 'cross-site' },
      { origin: id, 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'none' },
      { referer: `${id}/account` },
    ]) {
      for (const [path, type, body] of POSTS) {
        const answer = await ask(id, path, { method: 'POST', headers: { cookie: cookies, 'content-type': type, ...says }, body });
        check(answer.status === 403, `${JSON.stringify(says)} to ${path}: ${answer.status}`);
        check(!answer.headers['set-cookie']?.some((set) => set.includes('_session=')), `${path} sets no session`);
      }
    }
    await unharmed('by hand');
  }, { ...world, expected: [/CORS policy/, /net::ERR_FAILED/, /ERR_BLOCKED_BY_RESPONSE/] });
} finally {
  applications.close();
}
