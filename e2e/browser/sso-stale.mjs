// One round of a browser whose server is given another `cookie.domain` each time: it was signed in once, and has one access
// cookie after each round, of the domain that is configured now.

import { existsSync } from 'node:fs';

import { Applications, at, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const { STATE, ROUND, DOMAIN } = process.env;
const ACCESS = /^__(Host|Secure)-jwt$/;
const expected = DOMAIN === '' ? '__Host-jwt id.example.test' : `__Secure-jwt ${DOMAIN}`;
const restored = existsSync(STATE) ? { storageState: STATE } : {};

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context }) => {
    const access = async () => (await context.cookies()).filter(({ name }) => ACCESS.test(name)).map(({ name, domain }) => `${name} ${domain}`);
    await page.goto(`${id}/app/page`);
    if (ROUND === '0') await signIn(page);
    // Who is signed in stays so, whatever became of the domain.
    await page.getByRole('heading', { level: 1, name: 'ada at id.example.test', exact: true }).waitFor();
    const before = await access();
    check(ROUND === '0' || before.some((cookie) => cookie !== expected), `nothing is left of another domain: ${before}`);
    const statuses = await page.evaluate(async () => {
      const refresh = await fetch('/auth/refresh', { method: 'POST' });
      return [refresh.status, (await fetch('/auth/me')).status];
    });
    check(statuses.join() === '200,200', `refreshed, and good: ${statuses}`);
    const after = await access();
    check(after.join() === expected, `from ${before} to ${after}`);
    // Siblings get it where the domain is theirs as well, and nothing of before.
    const theirs = (await context.cookies(at('app.example.test'))).filter(({ name }) => ACCESS.test(name));
    check(theirs.length === (DOMAIN === '.example.test' ? 1 : 0), `a sibling gets ${JSON.stringify(theirs)}`);
    await context.storageState({ path: STATE });
  }, { ...world, context: restored });
} finally {
  applications.close();
}
