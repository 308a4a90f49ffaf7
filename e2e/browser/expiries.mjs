// jotgate.js while access tokens end, every few seconds here: pages that stay open, and a tab that is frozen with the
// lock in its hands.

import { serve } from './app.mjs';
import { browse, check } from './browser.mjs';
import { all, ask, heard, login, open, same } from './tab.mjs';

const TTL = Number(process.env.TTL_SECONDS);

const road = await serve(Number(process.env.APP_PORT));
const PAGE = `${road.url}/test`;
try {
  await browse(async ({ context, page }) => {
    const tabs = [await open(context, PAGE, page), await open(context, PAGE), await open(context, PAGE)];
    await login(page);
    let refused = 0;
    context.on('response', (answer) => (refused += answer.status() === 401 ? 1 : 0));
    const before = road.refreshes;
    const begin = performance.now();
    let asked = 0;
    while (performance.now() - begin < 4 * TTL * 1000) {
      same(await all(tabs, (tab) => ask(tab, 2)), tabs.map(() => '200 200'), `request ${(asked += 1)}`);
      await page.waitForTimeout(100);
    }
    const [count, lives] = [road.refreshes - before, (performance.now() - begin) / TTL / 1000];
    check(count >= Math.floor(lives / 1.5), `${count} refreshes in ${lives} lives of a token`);
    check(count <= lives / 0.5 + 1, `${count} refreshes in ${lives} lives of a token: too many`);
    check(refused <= 2 * tabs.length, `${refused} requests were refused first: the refresh comes too late`);
    for (const tab of tabs) check(!(await heard(tab)).includes('signout'), 'nobody was signed out');
    // Nobody is kept signed in by a page that nobody uses.
    await page.waitForTimeout(2 * TTL * 1000);
    same(road.refreshes - before, count, 'refreshes of idle pages');

    const frozen = await open(context, PAGE);
    await frozen.evaluate(() => new Promise((held) => {
      navigator.locks.request(`${location.origin}/auth/`, () => new Promise(() => held()));
    }));
    const since = performance.now();
    same(await all(tabs, (tab) => ask(tab)), tabs.map(() => '200'), 'they go on without the lock');
    check(performance.now() - since > 20_000, 'they did not wait for the lock: it is another one');
  });
} finally {
  road.close();
}
