// Draws the picture of the README: the account on a desk, the login on a phone. Look at it, then copy it to docs/images/account.png.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { browse, check, url } from './browser.mjs';

const { PASSWORD, JOTGATE_E2E_SHOTS: folder } = process.env;
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0';
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 ' +
  'Mobile/15E148 Safari/604.1';

async function signIn(page) {
  await page.getByLabel('User name or e-mail').fill('ada');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const picture = (name) => `data:image/png;base64,${readFileSync(join(folder, `${name}.png`)).toString('base64')}`;

mkdirSync(folder, { recursive: true });
await browse(async ({ page, context }) => {
  await page.goto(`${url}/login`);
  await signIn(page);

  const phone = await context.browser().newContext({
    viewport: { width: 360, height: 640 }, userAgent: IPHONE, colorScheme: 'dark', hasTouch: true,
  });
  const login = await phone.newPage();
  await login.goto(`${url}/login`);
  await login.evaluate(() => document.activeElement?.blur());
  await login.screenshot({ path: join(folder, 'picture-login.png') });
  await signIn(login);

  await page.goto(`${url}/account`);
  check((await page.getByRole('listitem').count()) === 3, 'three devices');
  await page.screenshot({ path: join(folder, 'picture-account.png') });

  const easel = await context.browser().newContext({ viewport: { width: 1280, height: 784 } });
  const sheet = await easel.newPage();
  await sheet.setContent(`<!doctype html><style>
    body { margin: 0; background: #e9e7e0; height: 784px; position: relative; overflow: hidden }
    img { position: absolute; border-radius: 14px; box-shadow: 0 24px 60px -20px rgb(20 24 40/35%), 0 2px 6px rgb(20 24 40/12%) }
    .desk { left: 40px; top: 36px; width: 850px }
    .phone { right: 40px; bottom: 36px; width: 324px; border-radius: 26px; outline: 7px solid #20242e }
  </style><img class="desk" src="${picture('picture-account')}"><img class="phone" src="${picture('picture-login')}">`);
  await sheet.waitForFunction(() => [...document.images].every((image) => image.complete));
  await sheet.screenshot({ path: join(folder, 'picture.png') });
}, { context: { viewport: { width: 850, height: 748 }, userAgent: FIREFOX } });
