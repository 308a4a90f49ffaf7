// Every page on a small phone, on a phone and on a desk, light and dark: nothing is cut off, everything is readable,
// everything can be reached with the keyboard, and everything is large enough for a finger.

import { browse, check, url } from './browser.mjs';

const PASSWORD = 'four unrelated words here';
const LONG = 'a-rather-long-user-name-that-nobody-would-want-to-type-each-day';

const SIZES = { tiny: { width: 320, height: 568 }, phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };

let count = 0;
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark']) {
    await browse(async ({ page, shot, accessible }) => {
      const look = async (name) => {
        // Names, labels, structure and contrast do not change with the size; room for fingers is judged below.
        if (size === 'tiny') await accessible();
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        check(beyond <= 0, `${name} at ${size}: ${beyond} px stick out`);
        await reachable(page, name);
        await shot(`${name}-${size}-${colorScheme}`);
      };
      await page.goto(`${url}/login`);
      await look('login');
      await page.getByLabel('User name or e-mail').fill('nobody');
      await page.getByLabel('Password').fill(PASSWORD);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await look('login-wrong');

      count += 1;
      const name = `${LONG.slice(0, 60)}-${count}`;
      await page.goto(`${url}/register`);
      await look('register');
      await page.getByLabel('User name').fill(name);
      await page.getByLabel('E-mail').fill(`${name}@mail.of.a.long.domain.name.example.com`);
      await page.getByLabel('Password').fill(PASSWORD);
      await page.getByRole('button', { name: 'Create account' }).click();
      check(await page.getByRole('heading', { level: 1, name }).isVisible(), 'registered');
      await look('account');
      await page.goto(`${url}/logout`);
      await look('logout');
      await page.getByRole('button', { name: 'Sign out' }).click();
      await look('signed-out');
      await page.goto(`${url}/nothing`);
      await look('problem');
    }, { context: { viewport, colorScheme, hasTouch: size !== 'desk', reducedMotion: 'reduce' } });
  }
}

/** Goes through the page by the Tab key: the skip link comes first, each stop can be seen, has a ring and is large. */
async function reachable(page, name) {
  const wanted = await page.locator('a[href]:visible, button:visible, input:visible').count();
  // From the top, whatever has the focus.
  await page.evaluate(() => {
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute('tabindex');
  });
  const stops = new Set();
  for (let step = 0; step < wanted + 2; step += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const one = document.activeElement;
      if (!one || one === document.body) return null;
      const { width, height, top, bottom } = one.getBoundingClientRect();
      const style = getComputedStyle(one);
      const inline = style.display === 'inline';
      return {
        what: one.outerHTML.slice(0, 120),
        skip: one.classList.contains('skip'),
        seen: bottom > 0 && top < window.innerHeight,
        ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        large: inline || (width >= 44 && height >= 44),
      };
    });
    if (!stop) break;
    if (stops.size === 0) check(stop.skip, `${name}: the first stop is ${stop.what}`);
    check(stop.seen, `${name}: focused and not to be seen: ${stop.what}`);
    check(stop.ring, `${name}: no ring around ${stop.what}`);
    check(stop.large || stop.skip, `${name}: too small for a finger: ${stop.what}`);
    stops.add(stop.what);
  }
  check(stops.size >= wanted, `${name}: ${stops.size} stops for ${wanted} things`);
}
