// jotgate.js on plain http of a host that is not this machine: browsers have no Web Locks there. Each tab refreshes for
// itself then, and the server takes that for what it is.

import { serve } from './app.mjs';
import { browse, check } from './browser.mjs';
import { all, ask, expire, heard, hears, login, open, same } from './tab.mjs';

const TABS = 5;

const road = await serve(Number(process.env.APP_PORT), { host: 'app.example.test' });
try {
  await browse(async ({ context, page }) => {
    const tabs = await Promise.all(Array.from({ length: TABS }, (_, i) => open(context, `${road.url}/test`, i ? undefined : page)));
    check(await page.evaluate(() => navigator.locks === undefined), 'there are no Web Locks');
    await login(page);
    for (let round = 1; round <= 3; round += 1) {
      await expire(context);
      const before = road.refreshes;
      same(await all(tabs, (tab) => ask(tab, 4)), tabs.map(() => '200 200 200 200'), `round ${round}`);
      const count = road.refreshes - before;
      check(count >= 1 && count <= TABS, `${count} refreshes in round ${round}`);
    }
    same(await all(tabs, heard), tabs.map(() => 'signin ada'), 'nobody was signed out');
    await page.evaluate(() => jot.logout());
    await all(tabs, (tab) => hears(tab, 'signout logout'));
  }, { hosts: ['*.example.test'] });
} finally {
  road.close();
}
