// Single sign-on over subdomains: one cookie for all, which proves who somebody is and manages nothing.

import { Applications, ask, at, cookie, id, signIn, world } from './application.mjs';
import { browse, check } from './browser.mjs';

const APP = at('app.example.test');
const SHOP = at('shop.example.test');
const ACCESS = '__Secure-jwt';
const SESSION = '__Host-jwt_session';
const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

const applications = new Applications();
await applications.start();
try {
  await browse(async ({ page, context, shot }) => {
    // In at one, in at the other, and the login page seen once.
    let logins = 0;
    context.on('response', (response) => { if (response.url().startsWith(`${id}/login`) && response.status() === 200) logins += 1; });
    await page.goto(`${APP}/page?a=b`);
    check(await page.getByText('app.example.test').isVisible(), 'it is said where this leads');
    await shot('sso-login');
    await signIn(page);
    await heading(page, 'ada at app.example.test');
    check(page.url() === `${APP}/page?a=b`, `back where it began: ${page.url()}`);
    await page.goto(`${SHOP}/page`);
    await heading(page, 'ada at shop.example.test');
    check(logins === 1, `${logins} login pages`);

    // Attack 75: each cookie in its scope, and only the one reaches a sibling.
    const jar = Object.fromEntries((await context.cookies()).map((cookie) => [cookie.name, cookie]));
    const { domain, path, secure, httpOnly, sameSite } = jar[ACCESS];
    check(domain === '.example.test' && path === '/' && secure && httpOnly && sameSite === 'Lax', JSON.stringify(jar[ACCESS]));
    check(jar[SESSION].domain === 'id.example.test' && jar[SESSION].httpOnly && jar[SESSION].secure, JSON.stringify(jar[SESSION]));
    const received = applications.seen['shop.example.test'].cookie;
    check(received.includes(`${ACCESS}=`) && !received.includes('_session'), `a sibling received ${received}`);

    // What a sibling can do with what it received: nothing that changes anything, one by one.
    const token = jar[ACCESS].value;
    const json = { 'content-type': 'application/json', origin: id, 'sec-fetch-site': 'same-origin' };
    const form = { 'content-type': 'application/x-www-form-urlencoded', origin: id, 'sec-fetch-site': 'same-origin' };
    const session = JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sid;
    const change = JSON.stringify({ current_password: process.env.PASSWORD, new_password: 'quite another passphrase' });
    const tries = [
      ['GET', '/auth/sessions', json, undefined, [403]],
      ['DELETE', '/auth/sessions', json, undefined, [403]],
      ['DELETE', `/auth/sessions/${session}`, json, undefined, [403]],
      ['POST', '/auth/password/change', json, change, [403]],
      ['POST', '/auth/logout', json, '{"all":true}', [403]],
      ['POST', '/auth/refresh', json, '{}', [401]],
      ['POST', '/auth/refresh', json, JSON.stringify({ refresh_token: token }), [401]],
      // Nobody is there as far as the pages can see.
      ['GET', '/account', form, undefined, [303]],
      ['POST', '/account/sessions', form, 'session=others', [303]],
      ['POST', '/account/password', form, 'current_password=x&new_password=y', [303]],
      ['GET', '/admin/api/users', json, undefined, [401, 403, 404]],
    ];
    for (const as of [{ authorization: `Bearer ${token}` }, { cookie: `${ACCESS}=${token}` }, { cookie: `${SESSION}=${token}` }]) {
      for (const [method, path, headers, body, expected] of tries) {
        const answer = await ask(id, path, { method, headers: { ...headers, ...as }, body });
        // As the session cookie it is not even a token (attack 91).
        const statuses = as.cookie?.startsWith(SESSION) ? [...expected, 401] : expected;
        check(statuses.includes(answer.status), `${method} ${path} as ${Object.keys(as)}: ${answer.status} ${answer.text}`);
        if (answer.status === 303) check(answer.headers.location.startsWith('/login'), `${path}: ${answer.headers.location}`);
        check(!(answer.headers['set-cookie'] ?? []).some((set) => set.startsWith(SESSION) && !set.includes('Max-Age=0')), `${path} gives a session`);
      }
    }
    check((await ask(id, '/auth/me', { headers: { authorization: `Bearer ${token}` } })).status === 200, 'it says who somebody is');

    // Attack 79: a sibling's page, with all of the browser's cookies on its side.
    const wire = await context.newCDPSession(page);
    // The page itself is not told: the answers are not for other origins. The two come in any order.
    const asked = new Map();
    const answered = new Map();
    wire.on('Network.requestWillBeSent', ({ requestId, request }) => { if (request.url.startsWith(id)) asked.set(requestId, request.method); });
    wire.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode }) => answered.set(requestId, statusCode));
    await wire.send('Network.enable');
    await page.evaluate(async ({ id, change }) => {
      const post = (path, body, type) => fetch(id + path, { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'content-type': type }, body }).catch(() => {});
      await post('/auth/password/change', change, 'text/plain');
      await post('/auth/logout', '{"all":true}', 'text/plain');
      await post('/auth/refresh', '', 'text/plain');
      await post('/logout', 'return_to=/', 'application/x-www-form-urlencoded');
      await post('/account/password', 'current_password=x', 'application/x-www-form-urlencoded');
      await fetch(`${id}/auth/sessions`, { method: 'DELETE', credentials: 'include' }).catch(() => {});
      await fetch(`${id}/auth/me`, { credentials: 'include' }).catch(() => {});
    }, { id, change });
    const refused = () => [...asked].map(([request, method]) => `${method} ${answered.get(request)}`);
    const posts = () => refused().filter((status) => status === 'POST 403').length;
    for (let tries = 0; tries < 100 && posts() < 5; tries += 1) await page.waitForTimeout(50);
    check(posts() === 5, `refused: ${refused()}`);
    await wire.detach();
    await page.goto(`${id}/account`);
    await page.getByRole('heading', { level: 1, name: 'ada' }).waitFor();

    // Cookie tossing: a sibling sets our names for everybody. What has no prefix of ours is not read; one more of ours
    // is refused and cleared, by the page that says so; the session is none of a sibling's to set.
    await page.goto(`${APP}/page`);
    await page.evaluate(() => {
      document.cookie = 'jwt=evil; Domain=example.test; Path=/; Secure';
      document.cookie = 'jwt_session=evil; Domain=example.test; Path=/; Secure';
      document.cookie = '__Host-jwt_session=evil; Domain=example.test; Path=/; Secure';
      document.cookie = '__Host-jwt_session=evil; Path=/; Secure';
    });
    await page.goto(`${id}/account`);
    await page.getByRole('heading', { level: 1, name: 'ada' }).waitFor();
    await page.goto(`${APP}/page`);
    await page.evaluate(() => { document.cookie = '__Secure-jwt=evil; Domain=example.test; Path=/account; Secure'; });
    const twice = await page.goto(`${id}/account`);
    check(twice.status() === 400 && (await page.getByText('ambiguous_credentials').isVisible()), `two cookies: ${twice.status()}`);
    await page.goto(`${id}/account`);
    await page.getByRole('heading', { level: 1, name: 'ada' }).waitFor();
    check((await context.cookies(`${id}/account`)).filter(({ name }) => name === ACCESS).length === 1, 'one is left');

    // Attack 85: so many that only the page which clears them is answered.
    await page.goto(`${APP}/page`);
    await page.evaluate(() => {
      for (let n = 0; n < 150; n += 1) document.cookie = `junk${n}=${'x'.repeat(270)}; Domain=example.test; Path=/; Secure`;
    });
    // The browser keeps them in its own time.
    while ((await context.cookies(id)).length < 150) await page.waitForTimeout(50);
    const many = await page.goto(`${id}/account`);
    check(many.status() === 431, `too many cookies: ${many.status()}`);
    await shot('sso-too-many-cookies');
    await page.getByRole('link', { name: 'Clear the cookies' }).click();
    await page.getByRole('button', { name: 'Clear cookies' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    check(!(await context.cookies()).some(({ name }) => name.startsWith('junk')), 'they are gone');
    await page.goto(`${APP}/page`);
    await signIn(page);
    await heading(page, 'ada at app.example.test');

    // An application that never accepts what it gets, one whose clock is wrong, one that throws it away: no circle.
    for (const area of ['never', 'wrong-clock', 'clears']) {
      let hops = 0;
      const count = (request) => { if (request.isNavigationRequest()) hops += 1; };
      page.on('request', count);
      await page.goto(`${APP}/${area}/page`);
      page.off('request', count);
      await page.getByRole('heading', { name: 'You are signed in' }).waitFor();
      check(hops < 10, `${area}: ${hops} requests`);
      check(await page.getByText('does not accept your sign-in').isVisible(), `${area}: it is said what is wrong`);
      if (area === 'never') await shot('sso-not-accepted');
    }

    // Out of one is out of all, within a second.
    const held = await cookie(context, id, ACCESS);
    await page.goto(`${id}/logout?return_to=${encodeURIComponent(`${APP}/page`)}`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    const seconds = await applications.refuses(held);
    check(seconds < 1, `refused after ${seconds} s`);
    console.log(`sign-out to refusal over subdomains: ${seconds} s`);
    for (const application of [APP, SHOP]) {
      await page.goto(`${application}/page`);
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      const thief = await ask(application, '/page', { headers: { cookie: `${ACCESS}=${held}` } });
      check(thief.status === 302, `${application} refuses the old cookie: ${thief.status}`);
    }
  }, { ...world, expected: [/CORS policy/, /net::ERR_FAILED/, /ERR_BLOCKED_BY_RESPONSE/] });
} finally {
  applications.close();
}
