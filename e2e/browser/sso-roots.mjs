// Single sign-on over several root domains: a ticket, good once, in the browser that asked for it.

import { Applications, ask, at, cookie, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const SHOP = at('shop.other.test');
const BANK = at('bank.third.test');
const APP = at('app.example.test');
const ACCESS = '__Host-jwt';
const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

/** Goes the way of this browser up to the address with the ticket, and stops there. */
async function halfway(context) {
  const start = await ask(SHOP, '/_jotgate/start?return_to=/page');
  const [name, value] = start.headers['set-cookie'][0].split(';')[0].split('=');
  await context.addCookies([{ name, value, url: SHOP, secure: true, httpOnly: true, sameSite: 'Lax' }]);
  const own = (await context.cookies(id)).map(({ name, value }) => `${name}=${value}`).join('; ');
  const sso = await ask(id, start.headers.location.slice(id.length), { headers: { cookie: own } });
  return sso.headers.location;
}

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context, shot, accessible }) => {
    const seen = [];
    context.on('request', (request) => { if (request.isNavigationRequest()) seen.push(request.url()); });

    // In at one root domain; Chromium holds every redirect after the form to its page's policy.
    await page.goto(`${SHOP}/page?a=b%20c`);
    check(page.url().startsWith(`${id}/login?`), `to the login page: ${page.url()}`);
    check(await page.getByText('shop.other.test').isVisible(), 'it is said where this leads');
    await signIn(page);
    await heading(page, 'ada at shop.other.test');
    check(page.url() === `${SHOP}/page?a=b%20c`, `back where it began: ${page.url()}`);

    // In at the others without a question.
    for (const [origin, name] of [[BANK, 'bank.third.test'], [APP, 'app.example.test']]) {
      const from = seen.length;
      await page.goto(`${origin}/page`);
      await heading(page, `ada at ${name}`);
      check(!seen.slice(from).some((url) => url.startsWith(`${id}/login`)), `no login page on the way to ${name}`);
    }

    // That host has an access cookie of its own, and nothing that could renew or manage.
    const jar = await context.cookies(SHOP);
    const access = jar.find(({ name }) => name === ACCESS);
    check(access.domain === 'shop.other.test' && access.path === '/' && access.secure && access.httpOnly, JSON.stringify(access));
    check(!jar.some(({ name }) => name.includes('session')), `no session cookie there: ${JSON.stringify(jar)}`);
    check(!applications.seen['shop.other.test'].cookie.includes('session'), 'nor did the application get one');
    const sessions = await ask(id, '/auth/sessions', { headers: { authorization: `Bearer ${access.value}` } });
    check(sessions.status === 403, `it manages nothing: ${sessions.status}`);

    // The address of the ticket again: in this browser it leads to the page, in another one nowhere.
    const used = seen.find((url) => url.startsWith(`${SHOP}/_jotgate/finish?ticket=jgs_`));
    await page.goto(used);
    await heading(page, 'ada at shop.other.test');
    const stranger = await context.browser().newContext();
    const theirs = await stranger.newPage();
    check((await theirs.goto(used)).status() === 400, 'a used ticket');
    check(await theirs.getByText('invalid_ticket').isVisible(), 'and it is said so');

    // One that was not used yet: seen on the way, tried in another browser, which is refused and uses it up.
    await context.clearCookies({ name: ACCESS });
    await context.clearCookies({ name: `${ACCESS}_flow` });
    const stolen = await halfway(context);
    check(stolen.startsWith(`${SHOP}/_jotgate/finish?ticket=jgs_`), `a ticket was on its way: ${stolen}`);
    await theirs.goto(`${BANK}/page`);
    await theirs.goto(stolen);
    check(await theirs.getByText('invalid_ticket').isVisible(), 'not in another browser');
    check(!(await cookie(stranger, SHOP, ACCESS)), 'nobody is signed in there');
    await stranger.close();
    await page.goto(stolen);
    check(await page.getByText('invalid_ticket').isVisible(), 'it is used up');
    await shot('sso-invalid-ticket');
    await accessible();
    await page.getByRole('link', { name: 'Start again' }).click();
    await heading(page, 'ada at shop.other.test');

    // Applications that do not accept it, whose clock is wrong, that throw it away: somebody is told.
    for (const [area, words] of [['never', 'not let in'], ['wrong-clock', 'not let in'], ['clears', 'does not stay']]) {
      await context.clearCookies({ name: ACCESS });
      await context.clearCookies({ name: `${ACCESS}_flow` });
      const from = seen.length;
      await page.goto(`${SHOP}/${area}/page`);
      check(await page.getByText('sign_in_loop').isVisible(), `${area}: ${page.url()}`);
      check((await page.getByRole('heading', { level: 1 }).textContent()).includes(words), `${area}: what is wrong`);
      check(seen.length - from < 20, `${area}: ${seen.length - from} requests`);
      await shot(`sso-loop-${area}`);
      await accessible();
    }

    // Several windows at once, as a browser that restores them.
    await context.clearCookies({ name: ACCESS });
    await context.clearCookies({ name: `${ACCESS}_flow` });
    const windows = await Promise.all([1, 2, 3, 4, 5].map(() => context.newPage()));
    await Promise.all(windows.map((window, n) => window.goto(`${SHOP}/page?n=${n}`)));
    for (const window of windows) {
      await heading(window, 'ada at shop.other.test');
      await window.close();
    }

    // Out at home is out everywhere, within a second; and there is no way back in by an old page.
    const held = [];
    for (const origin of [SHOP, BANK]) {
      await page.goto(`${origin}/page`);
      held.push(await cookie(context, origin, ACCESS));
    }
    await page.goto(`${id}/logout?return_to=${encodeURIComponent(`${SHOP}/page`)}`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    for (const token of held) {
      const seconds = await applications.refuses(token);
      check(seconds < 1, `refused after ${seconds} s`);
      console.log(`sign-out to refusal over root domains: ${seconds} s`);
    }
    for (const origin of [SHOP, BANK]) {
      await page.goto(`${origin}/page`);
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    }
  }, world);

  // A browser that keeps no cookies at all: told so, at the first step that needs one.
  await browse(async ({ page, shot }) => {
    await page.goto(`${SHOP}/page`);
    await signIn(page);
    check(await page.getByText('keeps no cookies').isVisible(), `told: ${page.url()}`);
    await shot('sso-no-cookies');
  }, { ...world, profile: { default_content_setting_values: { cookies: 2 } } });
} finally {
  applications.close();
}
