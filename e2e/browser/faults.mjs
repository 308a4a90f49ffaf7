// jotgate.js while the network, a tab or the server fails in the middle of a refresh: nobody is signed out by that.

import { serve } from './app.mjs';
import { check } from './browser.mjs';
import { all, ask, expire, failure, heard, locks, login, open, same, stage } from './tab.mjs';

const road = await serve(Number(process.env.APP_PORT));
const { PAGE, many, refreshes, scene } = stage(road);

const BROKEN = 'net::ERR_(EMPTY_RESPONSE|CONNECTION_RESET|CONTENT_LENGTH_MISMATCH)';
const LOST = [new RegExp(`/auth/refresh: ${BROKEN}`), new RegExp(`console: .*${BROKEN}`)];

try {
  await scene('a lost network', async (first, context) => {
    await login(first);
    const tabs = await many(first, context);
    // The refresh does not arrive; or it does, and its answer is lost, as a whole or in the middle.
    const lose = (forward, response) => response.destroy();
    const loseAnswer = (forward, response) => {
      response.writeHead = () => response;
      response.write = () => true;
      response.end = () => response.destroy();
      forward();
    };
    const breakOff = (forward, response) => {
      response.write = (piece) => response.flushHeaders() ?? response.socket.write(piece.subarray(0, 10));
      response.end = () => setTimeout(() => response.destroy(), 50);
      forward();
    };
    for (const accident of [lose, loseAnswer, breakOff]) {
      await expire(context);
      // Where an old connection ends before the answer begins, the browser itself tries another one.
      road.accidents = Array(9).fill(accident);
      const lost = await failure(first, `jot.fetch('/api/notes')`);
      same([lost?.ours, lost?.name], [false, 'TypeError'], `${accident.name}: what fails is the network`);
      road.accidents = [];
      same(await all(tabs, (tab) => ask(tab, 2)), tabs.map(() => '200 200'), 'and when it is back');
    }
    await expire(context);
    await context.setOffline(true);
    check((await failure(first, `jot.fetch('/api/notes')`)).name === 'TypeError', 'offline');
    check((await failure(first, `jot.me()`)).name === 'TypeError', 'offline, nobody can tell who is signed in');
    check((await failure(first, `jot.logout()`)).name === 'TypeError', 'offline, nobody signs out');
    await context.setOffline(false);
    same(await ask(first), '200', 'online again');
    for (const tab of tabs) check(!(await heard(tab)).includes('signout'), 'nobody was signed out');
  }, { expected: [...LOST, /ERR_INTERNET_DISCONNECTED/] });

  await scene('a tab that is closed while it refreshes', async (first, context) => {
    await login(first);
    const tabs = await many(first, context);
    for (const arrives of [false, true]) {
      await expire(context);
      // Nothing comes back: the server never heard of it, or it did and the answer is still on the way.
      const arrived = new Promise((resolve) => {
        road.accidents = [(forward, response) => {
          Object.assign(response, { writeHead: () => response, write: () => true, end: resolve });
          if (arrives) forward();
          else resolve();
        }];
      });
      const dying = await open(context, PAGE);
      dying.evaluate(() => void jot.fetch('/api/notes'));
      await arrived;
      const waiting = all(tabs, (tab) => ask(tab, 2));
      waiting.catch(() => {});
      await locks(tabs[0], 'pending', (count) => count === tabs.length);
      await dying.close();
      same(await waiting, tabs.map(() => '200 200'), 'the others go on');
    }
    for (const tab of tabs) check(!(await heard(tab)).includes('signout'), 'nobody was signed out');
  });

  await scene('a server that is away', async (tab, context) => {
    await login(tab);
    const away = (seconds) => (_, response) => {
      response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': seconds });
      response.end(JSON.stringify({ code: 'unavailable', detail: 'This cannot be done right now; try again shortly.' }));
    };
    await expire(context);
    road.accidents = [away(1)];
    const begin = performance.now();
    same(await refreshes(async () => same(await ask(tab), '200', 'after a while')), 2, 'tries');
    check(performance.now() - begin >= 1000, 'it waited as long as it was told');
    for (const [accidents, tries] of [[[away(1), away(1)], 2], [[away(60)], 1]]) {
      await expire(context);
      road.accidents = accidents;
      const seconds = tries === 1 ? 60 : 1;
      same(await refreshes(async () => {
        const busy = await failure(tab, `jot.fetch('/api/notes')`);
        same(busy, { ours: true, name: 'Error', code: 'unavailable', status: 503, retryAfter: seconds }, 'it is said');
      }), tries, 'tries');
    }
    await expire(context);
    road.accidents = [() => {}];
    same((await failure(tab, `jot.fetch('/api/notes')`)).name, 'TimeoutError', 'no answer within ten seconds');
    same(await ask(tab), '200', 'when it is back');
    same(await heard(tab), 'signin ada', 'nobody was signed out');
  }, { expected: [/answer: .*\/auth\/refresh: 503/, /console: .*status of 503/] });

  await scene('a server that is slow', async (tab) => {
    await login(tab);
    // Late in the life of a cookie that is good still.
    await tab.evaluate(() => {
      const now = Date.now;
      Date.now = () => now() + 570_000;
    });
    const begin = performance.now();
    road.accidents = [() => {}];
    same(await refreshes(async () => same(await ask(tab), '200', 'with the cookie that it has')), 1, 'tries');
    check(performance.now() - begin < 8000, 'it waited for the refresh');
    // As soon as the server answers, one refresh is enough again.
    await locks(tab, 'held', (count) => count === 0);
    same(await refreshes(async () => same(await ask(tab, 3), '200 200 200', 'and renewed')), 1, 'refreshes before the end');
    same(await refreshes(() => ask(tab, 3)), 0, 'further refreshes');
  });
} finally {
  road.close();
}
