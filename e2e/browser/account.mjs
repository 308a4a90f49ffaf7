// The life of an account, as a person goes through it, without JavaScript: register, a second device in the list,
// sign it out, change the password, sign out, and the back button.

import { back, browse, check, url } from './browser.mjs';

const OLD = 'four unrelated words here';
const NEW = 'another four unrelated words';
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 ' +
  'Mobile/15E148 Safari/604.1';

const at = (page) => new URL(page.url()).pathname;

async function signIn(page, username, password) {
  await page.goto(`${url}/login`);
  await page.getByLabel('User name or e-mail').fill(username);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

await browse(async ({ page, context, shot }) => {
  // The front door leads to the login, and from there to registration.
  await page.goto(url);
  check(at(page) === '/login', `the front door leads to ${page.url()}`);
  await shot('login');
  await page.getByRole('link', { name: 'Create an account' }).click();
  await shot('register');

  // A bad password comes back with what was typed, but the password.
  await page.getByLabel('User name').fill('ada');
  await page.getByLabel('E-mail').fill('ada@example.com');
  await page.getByLabel('Password').fill('password1234');
  await page.getByRole('button', { name: 'Create account' }).click();
  check((await page.title()).startsWith('Error: '), 'the title tells of the error');
  check((await page.getByLabel('User name').inputValue()) === 'ada', 'the user name is kept');
  check((await page.getByLabel('E-mail').inputValue()) === 'ada@example.com', 'the address is kept');
  const password = page.getByLabel('Password');
  check((await password.inputValue()) === '', 'the password is not kept');
  check((await password.getAttribute('aria-invalid')) === 'true', 'the field is marked');
  check((await page.locator('#password:focus').count()) === 1, 'and has the focus');
  await shot('register-weak');

  await password.fill(OLD);
  await page.getByRole('button', { name: 'Create account' }).click();
  check(page.url() === `${url}/account?done=registered`, `after registration: ${page.url()}`);
  check(await page.getByRole('heading', { level: 1, name: 'ada' }).isVisible(), 'the account names its user');
  check(await page.getByText('not verified').isVisible(), 'the address is not proven');
  check((await page.getByRole('listitem').count()) === 1, 'one device');
  check(await page.getByText('Chrome on Linux').isVisible(), 'it is told from its user agent');
  await shot('account');

  // The cookies are out of reach of scripts, of other hosts' pages and of what is posted from elsewhere.
  for (const cookie of await context.cookies()) {
    check(cookie.httpOnly && cookie.path === '/' && cookie.sameSite === 'Lax', `cookie ${cookie.name}`);
    check(cookie.domain === new URL(url).hostname, `cookie ${cookie.name} is of ${cookie.domain}`);
    check(cookie.expires > Date.now() / 1000, `cookie ${cookie.name} ends with the browser`);
  }
  const names = (await context.cookies()).map((cookie) => cookie.name).sort().join(' ');
  check(names === 'jwt jwt_device jwt_form jwt_session', `cookies: ${names}`);

  // Whoever is signed in has no business at the login.
  await page.goto(`${url}/login`);
  check(at(page) === '/account', `login while signed in leads to ${page.url()}`);

  // Another device.
  const elsewhere = await context.browser().newContext({ userAgent: IPHONE, javaScriptEnabled: false });
  const phone = await elsewhere.newPage();
  await signIn(phone, 'ada', 'wrong password here');
  check(at(phone) === '/login', 'a wrong password does not lead on');
  check((await phone.getByRole('alert').count()) === 1, 'it is said what is wrong');
  check((await phone.getByLabel('User name or e-mail').inputValue()) === 'ada', 'the name is kept');
  await signIn(phone, 'ada', OLD);
  check(at(phone) === '/account', `the second device is at ${phone.url()}`);

  await page.reload();
  check((await page.getByRole('listitem').count()) === 2, 'two devices');
  const row = page.getByRole('listitem').filter({ hasText: 'Safari on iPhone' });
  check((await page.getByRole('listitem').first().getByText('this device').count()) === 1, 'this one stands first');
  await shot('account-devices');
  await row.getByRole('button', { name: 'Sign out' }).click();
  check(await page.getByRole('status').getByText('That device is signed out.').isVisible(), 'it is said');
  check((await page.getByRole('listitem').count()) === 1, 'one device again');
  await phone.reload();
  check(at(phone) === '/login', `the phone is signed out: ${phone.url()}`);

  // A new password signs out the others and keeps this one.
  await signIn(phone, 'ada', OLD);
  await page.goto(`${url}/account`);
  await page.getByLabel('Current password').fill('not my password');
  await page.getByLabel('New password').fill(NEW);
  await page.getByRole('button', { name: 'Change password' }).click();
  check(await page.getByText('That is not your current password.').isVisible(), 'a wrong current password');
  await page.goto(`${url}/account/password`);
  check(at(page) === '/account', 'the address of the form leads back');
  await page.getByLabel('Current password').fill(OLD);
  await page.getByLabel('New password').fill(NEW);
  await page.getByRole('button', { name: 'Change password' }).click();
  check(page.url() === `${url}/account?done=password-changed`, `after the change: ${page.url()}`);
  check((await page.getByRole('listitem').count()) === 1, 'the others are signed out');
  await phone.reload();
  check(at(phone) === '/login', 'the phone is signed out by the new password');
  await signIn(phone, 'ada', NEW);
  check(at(phone) === '/account', 'the new password is good');
  await back(phone);
  check(at(phone) === '/account', `back to the login, whoever is signed in is led on: ${phone.url()}`);

  // All others.
  await page.goto(`${url}/account`);
  await page.getByRole('button', { name: 'Sign out all other devices' }).click();
  check(page.url() === `${url}/account?done=others-ended`, `after all others: ${page.url()}`);
  await phone.reload();
  check(at(phone) === '/login', 'the phone is signed out with all others');

  // Sign out: asked first.
  await page.getByRole('link', { name: 'Sign out' }).click();
  await shot('logout');
  await page.getByRole('link', { name: 'Stay signed in' }).click();
  check(at(page) === '/account', 'staying is possible');
  await page.getByRole('link', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  check(page.url() === `${url}/logout`, `after signing out: ${page.url()}`);
  check(await page.getByRole('heading', { name: 'You are signed out' }).isVisible(), 'it is said');
  const left = (await context.cookies()).map((cookie) => cookie.name).sort().join(' ');
  check(left === 'jwt_device jwt_form', `cookies left: ${left}`);
  await shot('signed-out');

  // The back button shows nothing of the account.
  for (let steps = 0; steps < 3; steps += 1) {
    await back(page);
    const text = await page.locator('body').innerText();
    check(!text.includes('User id') && !text.includes('Chrome on Linux'), `back, ${steps + 1}: ${page.url()}`);
  }

  await page.goto(`${url}/nothing/here`);
  check(await page.getByRole('heading', { name: 'There is no page here' }).isVisible(), 'an unknown page');
  await shot('problem');
}, { context: { javaScriptEnabled: false } });
