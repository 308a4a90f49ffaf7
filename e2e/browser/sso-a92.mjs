// Attack 92: ada is signed in at applications of several domains, and bob signs in with the same browser. Nothing that was
// ada's is good afterwards, wherever it was kept, and every application has bob.

import { Applications, ask, at, cookie, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const APP = at('app.example.test');
const SHOP = at('shop.other.test');
const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
const PAGES = [[`${APP}/page`, 'app.example.test'], [`${SHOP}/page`, 'shop.other.test'], [`${SHOP}/guarded/page`, 'shop.other.test'], [`${id}/app/page`, 'id.example.test']];

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context }) => {
    const before = await context.newPage();
    await before.goto(`${id}/login`);
    await page.goto(PAGES[0][0]);
    await signIn(page);
    for (const [url, name] of PAGES) {
      await page.goto(url);
      await heading(page, `ada at ${name}`);
    }
    const access = [await cookie(context, APP, '__Secure-jwt'), await cookie(context, SHOP, '__Host-jwt')];
    const session = await cookie(context, id, '__Host-jwt_session');

    // In the window that was open since before.
    await signIn(before, 'bob');
    await heading(before, 'bob');

    // Ada's session is over at the server, not in this browser only.
    for (const token of access) {
      const seconds = await applications.refuses(token);
      check(seconds < 1, `refused after ${seconds} s`);
      check((await ask(id, '/auth/me', { headers: { authorization: `Bearer ${token}` } })).status === 401, 'and here');
    }
    const own = { origin: id, 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' };
    for (const as of [{ headers: { ...own, cookie: `__Host-jwt_session=${session}` }, body: '{}' }, { headers: own, body: JSON.stringify({ refresh_token: session }) }]) {
      const refresh = await ask(id, '/auth/refresh', { method: 'POST', ...as });
      check(refresh.status === 401 && refresh.text.includes('"invalid_refresh_token"'), `its refresh: ${refresh.status} ${refresh.text}`);
    }
    const question = await ask(id, '/app/page', { headers: { cookie: `__Host-jwt_session=${session}` } });
    check(question.status === 401 && !question.headers['set-cookie'], `its renewal: ${question.status}`);

    // And everywhere it is bob, without a question.
    for (const [url, name] of PAGES) {
      await page.goto(url);
      await heading(page, `bob at ${name}`);
    }
  }, world);
} finally {
  applications.close();
}
