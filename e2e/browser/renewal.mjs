// Access cookies that live for seconds and pages that stay open for as long as many of them: nobody is asked, and nothing
// that was typed is lost. On our own host the proxy's question renews; elsewhere a redirect of the page does.

import { Applications, at, cookie, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const OWN = `${id}/app/page`;
const APP = at('app.example.test');
const SHOP = at('shop.other.test');
const TTL = Number(process.env.ACCESS_TTL) * 1000;
const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context, shot }) => {
    let logins = 0;
    context.on('response', (response) => { if (response.url().startsWith(`${id}/login`) && response.status() === 200) logins += 1; });
    await page.goto(OWN);
    await signIn(page);
    await heading(page, 'ada at id.example.test');
    const session = await cookie(context, id, '__Host-jwt_session');

    // A form stays open while its access cookie runs out several times, and is posted: the post arrives.
    await page.getByLabel('Text').fill('a long letter');
    await page.waitForTimeout(3 * TTL);
    check(!(await cookie(context, id, '__Secure-jwt')), 'the browser has dropped the access cookie');
    await page.getByRole('button', { name: 'Save' }).click();
    await heading(page, 'ada at id.example.test');
    check((await page.locator('#body').textContent()) === 'text=a+long+letter', 'it arrived as it was typed');
    check(applications.seen['id.example.test'].method === 'POST', 'and was no redirect');
    check(await cookie(context, id, '__Secure-jwt'), 'with a new cookie for the browser');
    check((await cookie(context, id, '__Host-jwt_session')) === session, 'the session cookie is as it was');
    check(!applications.seen['id.example.test'].headers['x-auth-session']?.includes('jgr_'), 'nothing of it went on');

    // The same by script, many at once.
    await page.waitForTimeout(2 * TTL);
    const statuses = await page.evaluate(() =>
      Promise.all(Array.from({ length: 12 }, (_, n) => fetch('/app/save', { method: 'POST', body: `n=${n}` }).then((answer) => answer.status))));
    check(statuses.every((status) => status === 200), `at once: ${statuses}`);
    await page.waitForTimeout(2 * TTL);
    const refreshed = await page.evaluate(async () => {
      const refresh = await fetch('/auth/refresh', { method: 'POST' });
      return [refresh.status, (await fetch('/app/save', { method: 'POST', body: 'x' })).status];
    });
    check(refreshed.join() === '200,200', `by /auth/refresh: ${refreshed}`);

    // Elsewhere: pages come back by themselves, under our domain and on another root domain.
    for (const [origin, name] of [[APP, 'app.example.test'], [SHOP, 'shop.other.test'], [`${SHOP}/guarded`, 'shop.other.test']]) {
      for (let round = 0; round < 3; round += 1) {
        await page.goto(`${origin}/page?round=${round}`);
        await heading(page, `ada at ${name}`);
        check(page.url() === `${origin}/page?round=${round}`, `back where it was: ${page.url()}`);
        await page.waitForTimeout(TTL + 1500);
      }
    }
    check(logins === 1, `${logins} login pages in all that time`);

    // A post there is refused and not redirected: the form is as it was, and goes out once the page has renewed.
    await page.goto(`${APP}/page`);
    await page.getByLabel('Text').fill('another letter');
    await page.waitForTimeout(TTL + 1500);
    const [refused] = await Promise.all([page.waitForResponse((response) => response.request().method() === 'POST'), page.getByRole('button', { name: 'Save' }).click()]);
    check(refused.status() === 401 && (await page.getByText('still there').isVisible()), `refused: ${refused.status()}`);
    await shot('renewal-post-refused');
    // In another window, so that the form stays as it is.
    const window = await context.newPage();
    await window.goto(`${APP}/page`);
    await heading(window, 'ada at app.example.test');
    await window.close();
    await page.goBack();
    check((await page.getByLabel('Text').inputValue()) === 'another letter', 'what was typed is still there');
    await page.getByRole('button', { name: 'Save' }).click();
    await heading(page, 'ada at app.example.test');
    check((await page.locator('#body').textContent()) === 'text=another+letter', 'and goes out');

    // Out: none of this brings anybody back in.
    await page.goto(`${id}/logout`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    for (const address of [OWN, `${APP}/page`, `${SHOP}/page`, `${SHOP}/guarded/page`]) {
      await page.goto(address);
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    }
  }, world);
} finally {
  applications.close();
}
