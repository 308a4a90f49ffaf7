// jotgate.js where Jotgate has an origin of its own: from a trusted one as at home, from any other not at all.

import { serve } from './app.mjs';
import { browse, check, url } from './browser.mjs';
import { all, ask, expire, failure, heard, hears, login, open, same } from './tab.mjs';

const app = await serve(Number(process.env.APP_PORT), { from: url });
const stranger = await serve(Number(process.env.STRANGER_PORT), { from: url });

try {
  await browse(async ({ context, page }) => {
    const asked = [];
    context.on('request', (request) => asked.push(`${request.method()} ${request.url()}`));
    const tab = await open(context, `${app.url}/test`, page);
    const wrong = await failure(tab, `jot.login({ username: 'ada', password: 'wrong password here' })`);
    same([wrong.ours, wrong.code], [true, 'invalid_credentials'], 'a wrong password');
    same((await login(tab)).username, 'ada', 'the answer of login');
    const other = await open(context, `${app.url}/test`);
    same(await ask(other), '200', "the application's own API has the cookie as well: it is of the same host");
    same((await other.evaluate(() => jot.me())).user.username, 'ada', 'me()');
    await expire(context);
    asked.length = 0;
    same(await all([tab, other], (one) => ask(one, 5)), Array(2).fill('200 200 200 200 200'), 'renewed');
    const refresh = `POST ${url}/auth/refresh`;
    same(asked.filter((one) => one === refresh), [refresh], 'refreshes');
    await tab.evaluate(() => jot.logout());
    await all([tab, other], (one) => hears(one, 'signout logout'));
    same(await ask(other), '401', 'signed out');
  });

  await browse(async ({ context, page }) => {
    // Whoever is signed in and comes to a page of a stranger.
    await login(await open(context, `${app.url}/test`, page));
    const tab = await open(context, `${stranger.url}/test`);
    for (const call of [`jot.login({ username: 'ada', password: '${process.env.PASSWORD}' })`, 'jot.me()', 'jot.logout()']) {
      const refused = await failure(tab, call);
      same([refused?.ours, refused?.name], [false, 'TypeError'], `a stranger's ${call}`);
    }
    same(await tab.evaluate(() => jot.user ?? 'nobody knows'), 'nobody knows', 'the stranger');
    same(await heard(tab), '', 'what the stranger hears');
    check((await page.evaluate(() => jot.me())).user.username === 'ada', 'still signed in');
  }, { expected: [/blocked by CORS policy/, /net::ERR_FAILED/] });
} finally {
  app.close();
  stranger.close();
}
