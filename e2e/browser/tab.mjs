// What the tests of jotgate.js do in a tab, at the page `/test` of app.mjs.

import { browse, check } from './browser.mjs';

export const PASSWORD = process.env.PASSWORD;

/** What scenes at an application's `road` have in common. */
export function stage(road) {
  const PAGE = `${road.url}/test`;
  const TABS = 6;
  return {
    PAGE,
    TABS,
    /** Runs `test(tab, context)` in a browser that nobody used before. */
    scene: async (name, test, options) => {
      try {
        await browse(async ({ context, page }) => test(await open(context, PAGE, page), context), options);
      } catch (error) {
        throw new Error(`${name}: ${error.message}`, { cause: error });
      }
    },
    /** The first tab and as many others as make six. */
    many: async (first, context) => {
      const others = Array.from({ length: TABS - 1 }, () => open(context, PAGE));
      return [first, ...(await Promise.all(others))];
    },
    /** How many refreshes `work` leads to. */
    refreshes: async (work) => {
      const before = road.refreshes;
      await work();
      return road.refreshes - before;
    },
  };
}

/** A new tab at `page`, or the one that is given. */
export async function open(context, page, tab) {
  tab ??= await context.newPage();
  await tab.goto(page);
  await tab.waitForFunction(() => globalThis.jot);
  return tab;
}

/** The events that were heard so far. */
export const heard = (tab) => tab.evaluate(() => heard.join(', '));

/** Waits until the last event is this one. */
export const hears = (tab, event) => tab.waitForFunction((event) => heard.at(-1) === event, event);

export const login = (tab, username = 'ada') =>
  tab.evaluate(([username, password]) => jot.login({ username, password }), [username, PASSWORD]);

/** As browsers do when the access token ends. */
export const expire = (context) => context.clearCookies({ name: 'jwt' });

/** Sends `count` requests by jot.fetch at once; their statuses. */
export const ask = (tab, count = 1, path = '/api/notes') => tab.evaluate(async ([count, path]) => {
  const answers = await Promise.all(Array.from({ length: count }, () => jot.fetch(path)));
  return answers.map((answer) => answer.status).join(' ');
}, [count, path]);

/** What a call fails with; null where it does not. */
export const failure = (tab, call) => tab.evaluate(`${call}.then(() => null, (error) => {
  const { name, code, status, retryAfter } = error;
  return { ours: error instanceof JotgateError, name, code, status, retryAfter };
})`);

/** The same for every tab, at once. */
export const all = (tabs, work) => Promise.all(tabs.map(work));

/** Waits until that many requests for the lock are `held` or `pending`. */
export async function locks(tab, state, enough) {
  for (let tries = 0; tries < 300; tries += 1) {
    const count = await tab.evaluate(async (state) => (await navigator.locks.query())[state].length, state);
    if (enough(count)) return;
    await tab.waitForTimeout(50);
  }
  throw new Error(`locks ${state}: not what is waited for within 15 seconds`);
}

/** Fails unless `is` is `should`, compared as JSON. */
export function same(is, should, what) {
  const [a, b] = [JSON.stringify(is), JSON.stringify(should)];
  check(a === b, `${what}: ${a} instead of ${b}`);
}
