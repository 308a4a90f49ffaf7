// Signing in with other providers, as a person on a phone does it, at the providers' own pages; without JavaScript of
// ours, which there is none of.

import { browse, check, url } from './browser.mjs';

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const { FIRST, SECOND } = process.env;
/** The provider's own pages ask for a font that is nowhere here. */
const expected = [/^request: https:\/\/fonts\.googleapis\.com\//, /^console: .*ERR_NAME_NOT_RESOLVED$/];
const at = (page) => new URL(page.url()).pathname;

/** At the provider's pages: signs in and agrees. */
async function signInThere(page, provider, login) {
  await page.waitForURL((there) => there.origin === provider);
  await page.locator('input[name=login]').fill(login);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.waitForURL((there) => there.origin === provider);
  await page.locator('button[type=submit]').click();
  await page.waitForURL((there) => there.origin === url);
}

const fits = async (page, what) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  check(!wide, `${what} is wider than the phone`);
};

await browse(async ({ page, context, shot, accessible }) => {
  await page.goto(`${url}/login`);
  const buttons = page.getByRole('link', { name: /^Continue with/ });
  check((await buttons.allTextContents()).join() === 'Continue with the first one,Continue with second', 'both buttons');
  for (const button of await buttons.all()) {
    const { height } = await button.boundingBox();
    check(height >= 44, `a button is ${height} px high`);
  }
  await fits(page, 'the login page');
  await accessible();
  await shot('upstream-login');

  await buttons.first().click();
  await signInThere(page, FIRST, 'ada');
  check(at(page) === '/account', `after signing in: ${page.url()}`);
  check(await page.getByRole('heading', { level: 1, name: 'ada' }).isVisible(), 'the account has a name');
  check(await page.getByText('ada@example.com').first().isVisible(), 'and the address');
  check(await page.getByText('Your only way in').isVisible(), 'the only way in stays');
  await fits(page, 'the account page');
  await accessible();
  await shot('upstream-account');

  // A second way in: the form leads on by itself, past whatever hosts lie on the way.
  await page.getByRole('button', { name: 'Add second' }).click();
  await signInThere(page, SECOND, 'ada-elsewhere');
  check(at(page) === '/account', `after linking: ${page.url()}`);
  check(await page.getByText('You can sign in that way from now on.').isVisible(), 'it says so');
  await fits(page, 'the account page with two');
  await shot('upstream-linked');

  // The first one goes; the second is the only way in now.
  await page.getByRole('button', { name: /^Remove the first one/ }).click();
  check(await page.getByText('You cannot sign in that way any more').isVisible(), 'it is gone');
  check(await page.getByText('Your only way in').isVisible(), 'and the other stays');

  // Asked to sign in again: the provider has a session, and asks all the same.
  await page.goto(`${url}/login?again=1&return_to=/account`);
  check(await page.getByRole('heading', { name: 'Sign in again' }).isVisible(), 'it asks');
  check(await page.locator('input[type=password]').count() === 0, 'for no password, where there is none');
  await accessible();
  await shot('upstream-again');
  await page.getByRole('link', { name: 'Continue with second' }).click();
  await page.waitForURL((there) => there.origin === SECOND);
  await page.locator('input[name=login]').fill('ada-elsewhere');
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.waitForURL((there) => there.origin === url);
  check(at(page) === '/account', `after signing in again: ${page.url()}`);

  // A link on another site asks first, and takes nobody's session away by itself.
  await page.goto(`${SECOND}/.well-known/openid-configuration`);
  await page.evaluate((there) => { location.href = there; }, `${url}/login/first`);
  await page.getByRole('heading', { name: 'Continue with the first one?' }).waitFor();
  await fits(page, 'the page that asks first');
  await accessible();
  await shot('upstream-switch');
  await page.getByRole('link', { name: 'Stay signed in' }).click();
  check(await page.getByRole('heading', { level: 1, name: 'ada' }).isVisible(), 'ada is still there');
  await page.goBack();
  await page.getByRole('button', { name: 'Continue with the first one' }).click();
  // That one knows ada still, and answers without a question.
  await page.waitForURL((there) => there.origin === url && there.pathname === '/account');

  // A password of one's own.
  await page.getByLabel('New password').fill('four unrelated words');
  await page.getByRole('button', { name: 'Set password' }).click();
  check(await page.getByText('You can sign in with your password').isVisible(), 'the password is set');
  check(await page.getByLabel('Current password').isVisible(), 'and can be changed');
  await accessible();
  await shot('upstream-password');

  // An answer that is shown twice, as by the back button.
  const ours = (await context.cookies(url)).map((cookie) => cookie.name).filter((name) => name.startsWith('jwt'));
  const before = ours.sort().join(' ');
  check(before === 'jwt jwt_device jwt_form jwt_session', `cookies: ${before}`);
  const answer = await page.goto(`${url}/login/first/callback?code=x&state=y`);
  check(answer.status() === 400, 'an answer to nothing is refused');
  check(await page.getByRole('heading', { name: 'That sign-in was not accepted' }).isVisible(), 'in words');
  await fits(page, 'the page of the refusal');
  await accessible();
  await shot('upstream-refused');
}, { context: PHONE, expected });

// Without scripts the page in between has a button, and goes on by itself all the same.
await browse(async ({ page }) => {
  await page.goto(`${url}/register`);
  await page.getByRole('link', { name: 'Continue with second' }).click();
  await signInThere(page, SECOND, 'ben');
  check(await page.getByRole('heading', { level: 1, name: 'ben' }).isVisible(), 'ben is there');
  await page.getByRole('button', { name: 'Add the first one' }).click();
  await signInThere(page, FIRST, 'ben');
  check(await page.getByText('You can sign in that way from now on.').isVisible(), 'linked without scripts');
}, { context: { ...PHONE, javaScriptEnabled: false }, expected });
