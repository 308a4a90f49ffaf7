// Applications in nested paths, whose access cookies run out: each is renewed for its whole host, and people come back to
// the page where they were.

import { Applications, at, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const TTL = Number(process.env.ACCESS_TTL) * 1000;
const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
const PAGES = [
  `${id}/a/b/page`,
  `${id}/a/b/c/d/page?x=/e/&y=%2F`,
  `${at('app.example.test')}/a/b/page`,
  `${at('app.example.test')}/guarded/a/b/page?x=/e/`,
  `${at('shop.other.test')}/a/b/page`,
  `${at('shop.other.test')}/guarded/a/b/page?x=/e/`,
];

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context }) => {
    let logins = 0;
    context.on('response', (response) => { if (response.url().startsWith(`${id}/login`) && response.status() === 200) logins += 1; });
    await page.goto(PAGES[0]);
    await signIn(page);
    for (const url of PAGES) {
      const { hostname } = new URL(url);
      for (let round = 0; round < 2; round += 1) {
        await page.goto(url);
        await heading(page, `ada at ${hostname}`);
        check(page.url() === url, `back where it was: ${page.url()}`);
        const access = (await context.cookies(url)).filter(({ name }) => /^__(Host|Secure)-jwt$/.test(name));
        check(access.length === 1 && access[0].path === '/', `one for the whole host: ${JSON.stringify(access)}`);
        await page.waitForTimeout(TTL + 1500);
      }
    }
    check(logins === 1, `${logins} login pages in all that time`);

    // What is posted there arrives, from the page that was open all the while, and by a relative address.
    await page.goto(PAGES[1]);
    await page.getByLabel('Text').fill('a long letter');
    await page.waitForTimeout(TTL + 1500);
    await page.getByRole('button', { name: 'Save' }).click();
    await heading(page, 'ada at id.example.test');
    check((await page.locator('#body').textContent()) === 'text=a+long+letter', 'it arrived as it was typed');
    await page.waitForTimeout(TTL + 1500);
    const statuses = await page.evaluate(() =>
      Promise.all(['../save', 'save', '/a/b/save'].map((path) => fetch(path, { method: 'PUT', body: 'x' }).then((answer) => answer.status))));
    check(statuses.join() === '200,200,200', `by script: ${statuses}`);
  }, world);
} finally {
  applications.close();
}
