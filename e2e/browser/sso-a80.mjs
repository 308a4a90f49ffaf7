// Attack 80: what pages of other origins read, in a browser that is signed in. One origin is trusted
// (`cookie.trusted_origins`); names that begin or end like it, a sibling, another root domain and a frame whose origin is
// `null` are not. What is public is read by everybody, without cookies.

import { Applications, ask, at, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const TRUSTED = at('app.example.test');
const STRANGERS = [
  at('shop.example.test'),
  at('evilapp.example.test'),
  at('app.example.test.evil.test'),
  at('shop.other.test'),
  `http://app.example.test:${process.env.APPLICATION_PORT}`,
];

/** Runs in a page: what it can read of an address. */
const read = ({ url, credentials }) =>
  fetch(url, { credentials }).then(async (answer) => `${answer.status} ${await answer.text()}`, () => 'blocked');

/** The same in a frame without an origin. */
const readInFrame = ({ url, credentials, script }) => new Promise((done) => {
  addEventListener('message', ({ data }) => done(data), { once: true });
  const call = `(${script})(${JSON.stringify({ url, credentials })}).then((text) => parent.postMessage(text, '*'))`;
  document.body.append(Object.assign(document.createElement('iframe'), { sandbox: 'allow-scripts', srcdoc: `<script>${call}</script>` }));
});

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page }) => {
    await page.goto(`${TRUSTED}/page`);
    await signIn(page);
    await page.getByRole('heading', { level: 1, name: 'ada at app.example.test' }).waitFor();
    const me = { url: `${id}/auth/me`, credentials: 'include' };
    const verify = { url: `${id}/auth/verify`, credentials: 'include' };
    const keys = { url: `${id}/.well-known/jwks.json`, credentials: 'omit' };
    check((await page.evaluate(read, me)).includes('"username":"ada"'), 'a trusted origin reads who is signed in');
    for (const place of [...STRANGERS, `frame in ${TRUSTED}`, `frame in ${id}.evil`]) {
      const framed = place.startsWith('frame');
      await page.goto(`${framed ? (place.endsWith('.evil') ? at('id.example.test.evil.test') : TRUSTED) : place}/open`);
      const from = (what) => (framed ? page.evaluate(readInFrame, { ...what, script: String(read) }) : page.evaluate(read, what));
      for (const private_ of [me, verify, { ...me, credentials: 'omit' }, { ...keys, credentials: 'include' }]) {
        const text = await from(private_);
        check(text === 'blocked', `${place} reads ${private_.url} with ${private_.credentials}: ${text}`);
      }
      check((await from(keys)).startsWith('200 {"keys":'), `${place} reads the keys`);
    }

    // What is said of it on the wire.
    for (const origin of [...STRANGERS, 'null', `${TRUSTED}.evil.test`, `${TRUSTED}/`, TRUSTED.replace('https', 'http'), 'https://app.example.test']) {
      for (const method of ['GET', 'OPTIONS']) {
        const headers = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' };
        const answer = await ask(id, '/auth/me', { method, headers });
        check(!('access-control-allow-origin' in answer.headers) && !('access-control-allow-credentials' in answer.headers), `${method} of ${origin}`);
        check(/\borigin\b/i.test(answer.headers.vary ?? ''), `${method} varies: ${answer.headers.vary}`);
      }
    }
    const trusted = (await ask(id, '/auth/me', { headers: { origin: TRUSTED } })).headers;
    check(trusted['access-control-allow-origin'] === TRUSTED && trusted['access-control-allow-credentials'] === 'true', 'exactly itself');
    const open = (await ask(id, '/.well-known/jwks.json', { headers: { origin: 'null' } })).headers;
    check(open['access-control-allow-origin'] === '*' && !('access-control-allow-credentials' in open), 'everybody, without credentials');
  }, { ...world, expected: [/CORS policy/, /net::ERR_FAILED/, /ERR_BLOCKED_BY_RESPONSE/, /status of 401/] });
} finally {
  applications.close();
}
