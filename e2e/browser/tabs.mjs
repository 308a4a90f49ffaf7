// jotgate.js in many tabs at once: one refresh for all of them, and nobody is signed out who did not sign out.

import { serve } from './app.mjs';
import { check, url } from './browser.mjs';
import { PASSWORD, all, ask, expire, failure, heard, hears, login, open, same, stage } from './tab.mjs';

const road = await serve(Number(process.env.APP_PORT));
const { PAGE, TABS, many, refreshes, scene } = stage(road);

/** How many refreshes the server says it granted. */
async function granted() {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(metrics.match(/^jotgate_refreshes_total\{outcome="granted"\} (\d+)$/m)?.[1] ?? 0);
}

try {
  await scene('signing in', async (tab, context) => {
    check((await tab.evaluate(() => jot.user)) === undefined, 'nobody knows yet');
    const wrong = await failure(tab, `jot.login({ username: 'ada', password: 'wrong password here' })`);
    same(wrong, { ours: true, name: 'Error', code: 'invalid_credentials', status: 401, retryAfter: 0 }, 'a wrong password');
    same(await heard(tab), '', 'no event for that');
    const other = await open(context, PAGE);
    same((await login(tab)).username, 'ada', 'the answer of login');
    await hears(other, 'signin ada');
    same(await other.evaluate(() => jot.user.username), 'ada', 'in the other tab');
    same(await tab.evaluate(() => document.cookie), '', 'scripts see no cookie');
    const kept = await tab.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    same(kept, '[{},{}]', 'nothing is stored');
    // A tab that is opened later has to ask.
    const later = await open(context, PAGE);
    const me = await later.evaluate(() => jot.me());
    same([me.user.username, me.session.current], ['ada', true], 'me()');
    same(await heard(later), 'signin ada', 'and it is an event');
    // Somebody else at the same browser.
    await login(later, 'bob');
    await all([tab, other], (one) => hears(one, 'signin bob'));
  });

  await scene('one refresh for all tabs', async (first, context) => {
    const before = await granted();
    await login(first);
    const tabs = await many(first, context);
    for (let round = 1; round <= 3; round += 1) {
      await expire(context);
      let answers;
      const count = await refreshes(async () => (answers = await all(tabs, (tab) => ask(tab, 5))));
      same(answers, tabs.map(() => '200 200 200 200 200'), `round ${round}`);
      same(count, 1, `refreshes of round ${round}`);
    }
    same((await granted()) - before, 3, 'refreshes as the server counts them');
    // Seen by the tabs that did not refresh as well: they know now that somebody is signed in.
    for (const tab of tabs) same(await heard(tab), 'signin ada', 'events');
    // Later, one tab is quick and the others find a good cookie.
    await expire(context);
    const count = await refreshes(async () => {
      for (const tab of tabs) same(await ask(tab, 1, '/auth/me'), '200', 'one after the other');
    });
    same(count, 1, 'refreshes, one after the other');
  });

  await scene('what was sent is sent again', async (tab, context) => {
    await login(tab);
    for (const [body, length] of [
      [`'x'.repeat(5000)`, 5000],
      [`new Blob(['x'.repeat(70000)])`, 70_000],
      [`new Uint8Array(300)`, 300],
      [`new URLSearchParams({ a: 'b' })`, 3],
    ]) {
      await expire(context);
      const init = `{ method: 'PUT', body: ${body} }`;
      for (const call of [`jot.fetch('/api/notes', ${init})`, `jot.fetch(new Request('/api/notes', ${init}))`]) {
        await expire(context);
        const answer = await tab.evaluate(`${call}.then((answer) => answer.json())`);
        same(answer, { user: 'ada', method: 'PUT', length }, call);
      }
    }
    // Given up meanwhile, it is not sent again.
    await expire(context);
    road.accidents = [(forward) => setTimeout(forward, 500)];
    const lost = await failure(tab, `jot.fetch('/api/notes', { signal: AbortSignal.timeout(200) })`);
    same(lost.name, 'TimeoutError', 'a request that was given up');
  });

  await scene('a wrong password is no reason to refresh', async (tab) => {
    await login(tab);
    const count = await refreshes(async () => {
      const status = await tab.evaluate(() => jot.fetch('/auth/password/change', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ current_password: 'wrong password here', new_password: 'another four unrelated words' }),
      }).then((answer) => answer.status));
      same(status, 401, 'the wrong current password');
    });
    same(count, 0, 'refreshes');
    same(await ask(tab), '200', 'still signed in');
  });

  await scene('signing out', async (first, context) => {
    await login(first);
    const tabs = await many(first, context);
    await all(tabs, (tab) => ask(tab));
    await first.evaluate(() => jot.logout());
    await all(tabs, (tab) => hears(tab, 'signout logout'));
    same((await context.cookies()).map(({ name }) => name), ['jwt_device'], 'cookies left');
    const events = await all(tabs, heard);
    // Nobody asks for ever, and nobody is told again.
    const count = await refreshes(async () => {
      same(await all(tabs, (tab) => ask(tab, 10)), tabs.map(() => Array(10).fill(401).join(' ')), 'signed out');
    });
    check(count <= TABS, `${count} refreshes for ${TABS} tabs of a signed-out user`);
    same(await all(tabs, heard), events, 'no further event');
    same(await tabs[1].evaluate(() => jot.me()), null, 'me()');
    await first.evaluate(() => jot.logout());
    // Back again, in another tab.
    await login(tabs[2]);
    await all(tabs, (tab) => hears(tab, 'signin ada'));
  });

  await scene('never signed in', async (tab) => {
    const count = await refreshes(async () => {
      for (let tries = 0; tries < 3; tries += 1) same(await ask(tab, 20), Array(20).fill(401).join(' '), 'refused');
    });
    same(count, 3, 'one refresh for 20 requests at once');
    same(await heard(tab), 'signout invalid_refresh_token', 'one event');
    same(await tab.evaluate(() => jot.user), null, 'nobody');
  });

  await scene('ended elsewhere', async (first, context) => {
    await login(first);
    const tabs = await many(first, context);
    await all(tabs, (tab) => ask(tab));
    const elsewhere = await context.browser().newContext();
    const phone = await open(elsewhere, PAGE);
    await login(phone);
    await phone.evaluate(() => jot.logout({ all: true }));
    same(await heard(phone), 'signin ada, signout logout', 'the phone');
    // The access cookie is still there, and revoked.
    same(await ask(first), '401', 'revoked');
    await all(tabs, (tab) => hears(tab, 'signout invalid_refresh_token'));
    const over = await failure(first, 'jot.logout({ all: true })');
    same([over.code, over.status], ['unauthenticated', 401], 'the others cannot be ended by a session that is over');
    await elsewhere.close();
  });

  await scene('the example', async (tab, context) => {
    await tab.goto(road.url);
    const other = await context.newPage();
    await other.goto(road.url);
    const status = (page, text) => page.getByRole('status').getByText(text).waitFor();
    await status(tab, 'Signed out');
    await tab.getByLabel('User name').fill('ada');
    await tab.getByLabel('Password').fill('wrong password here');
    await tab.getByRole('button', { name: 'Sign in' }).click();
    await status(tab, 'The user name or the password is wrong.');
    await tab.getByLabel('Password').fill(PASSWORD);
    await tab.getByRole('button', { name: 'Sign in' }).click();
    for (const page of [tab, other]) await status(page, 'Signed in as ada');
    await expire(context);
    await other.getByRole('button', { name: 'Load' }).click();
    await status(other, '{"user":"ada","method":"GET","length":0}');
    await other.getByRole('button', { name: 'Sign out' }).click();
    for (const page of [tab, other]) await status(page, 'Signed out');
  });
} finally {
  road.close();
}
