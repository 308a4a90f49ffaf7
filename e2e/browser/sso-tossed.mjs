// Cookie tossing: a sibling sets cookies of our name for a deep path of other applications. Through the proxy that asks,
// the one request is refused, and clears them.

import { Applications, at, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const SIBLING = at('evilapp.example.test');
const DEEP = '/a/b/c/d/e/page?x=/y';
const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context, shot }) => {
    await page.goto(`${id}/app/page`);
    await signIn(page);
    await heading(page, 'ada at id.example.test');
    for (const [origin, area] of [[id, ''], [at('app.example.test'), '/guarded']]) {
      const url = origin + area + DEEP;
      const name = new URL(url).hostname;
      await page.goto(url);
      await heading(page, `ada at ${name}`);
      await page.goto(`${SIBLING}/open`);
      await page.evaluate((area) => {
        for (const path of ['/a', '/a/b/c/', '/a/b/c/d/e', '/a/b/c/d/e/page']) {
          document.cookie = `__Secure-jwt=evil; Domain=example.test; Path=${area}${path}; Secure`;
        }
      }, area);
      check((await context.cookies(url)).filter((cookie) => cookie.name === '__Secure-jwt').length === 5, 'they are there');
      const refused = await page.goto(url);
      check(refused.status() === 400 && (await refused.text()).includes('ambiguous_credentials'), `two cookies: ${refused.status()}`);
      await shot(`sso-tossed-${name}`);
      const left = (await context.cookies(url)).filter((cookie) => cookie.name === '__Secure-jwt');
      check(left.length <= 1 && left.every(({ value }) => value !== 'evil'), `cleared: ${JSON.stringify(left)}`);
      // Ours went as well, since nobody can say which one it was; soon after a sign-in the login page asks first.
      await page.goto(url);
      const onward = page.getByRole('link', { name: /^Continue/ });
      await onward.or(page.getByRole('heading', { name: `ada at ${name}` })).first().waitFor();
      if (await onward.isVisible()) await onward.click();
      await heading(page, `ada at ${name}`);
      check(page.url() === url, `in again: ${page.url()}`);
    }
  }, world);
} finally {
  applications.close();
}
