// What jotgate-feed.mjs makes of what an issuer says, word for word: `node --test`. The issuer here says what a test
// wants. SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test from 'node:test';

import { Feed, Stale } from './jotgate-feed.mjs';

const LATER = 4_000_000_000;
const now = () => Math.floor(Date.now() / 1000);
const token = (idx) => ({ status: { status_list: { uri: 'https://id.example/status/0', idx } } });
const entry = (idx, until = LATER) => ({ uri: 'https://id.example/status/0', idx, until });
const event = (name, data, id) => `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
const alive = () => event('alive', { as_of: now() });

/** Answers with each of `pages` and `streams` once, in their order; then with nothing new. A stream that is an array is
    sent and ends, a string is sent and stays open. */
async function issuer(t, { pages = [], streams = [] }) {
  const asked = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://x');
    if (url.pathname.startsWith('/.well-known/')) {
      const here = `http://localhost:${server.address().port}`;
      const metadata = { issuer: here, jwks_uri: `${here}/keys`, revocation_feed_endpoint: `${here}/feed` };
      return response.end(JSON.stringify(metadata));
    }
    const streamed = request.headers.accept === 'text/event-stream';
    asked.push([streamed ? 'stream' : 'page', url.searchParams.get('since')]);
    if (!streamed) {
      const page = { cursor: 'c', as_of: now(), reset: false, more: false, entries: [], ...pages.shift() };
      return response.end(JSON.stringify(page));
    }
    const stream = streams.shift() ?? alive();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write([stream].flat().join(''));
    if (Array.isArray(stream)) response.end();
  });
  await new Promise((resolve) => server.listen(0, 'localhost', resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  const feed = new Feed(`http://localhost:${server.address().port}`, { staleAfter: 2 });
  t.after(() => {
    feed.close();
    stop();
  });
  return { feed, asked, stop };
}

async function until(holds) {
  for (let tries = 0; tries < 500; tries += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail('never');
}

test('pages are read to their end, and an entry of a kind to come is passed over', async (t) => {
  const { feed, asked } = await issuer(t, {
    pages: [
      { cursor: 'first', more: true, entries: [entry(1), { shape: 'new' }] },
      { cursor: 'second', entries: [{ kid: 'old', until: LATER }] },
    ],
  });
  assert.throws(() => feed.isRevoked(token(2), 'k'), Stale);
  await until(() => feed.state().fresh);
  assert.deepEqual(asked.slice(0, 2), [['page', null], ['page', 'first']]);
  assert.equal(feed.isRevoked(token(1), 'k'), true);
  assert.equal(feed.isRevoked(token(2), 'old'), true);
  assert.equal(feed.isRevoked(token(2), undefined), true);
  assert.equal(feed.isRevoked({ status: 'x' }, 'k'), true);
  assert.equal(feed.isRevoked(token(2), 'k'), false);
  assert.equal(feed.isRevoked({}, 'k'), false);
});

test('half an entry fails the page', async (t) => {
  const half = [{ ...entry(1), idx: '1' }, { uri: 'x', until: 1 }, { ...entry(1), until: undefined }, { ...entry(1), kid: 'k' }];
  const { feed, asked } = await issuer(t, { pages: half.map((one) => ({ entries: [entry(7), one] })) });
  for (let failed = 1; failed <= half.length; failed += 1) {
    await until(() => asked.length >= failed);
    assert.equal(feed.state().fresh, false);
  }
  await until(() => feed.state().fresh);
  assert.equal(feed.isRevoked(token(7), 'k'), false);
});

test('what the stream tells counts at once, once, in whatever order it comes', async (t) => {
  const told = [event('revoked', entry(2)), event('revoked', entry(1)), event('revoked', entry(2, now() + 9))];
  const { feed } = await issuer(t, { streams: [[alive(), event('other', {}), ...told].join('')] });
  await until(() => feed.state().streaming && feed.state().entries === 2);
  assert.equal(feed.isRevoked(token(1), 'k') && feed.isRevoked(token(2), 'k'), true);
  assert.equal(feed.isRevoked(token(3), 'k'), false);
});

test('a stream that ended goes on at its cursor, and a reset begins anew', async (t) => {
  const { feed, asked } = await issuer(t, {
    pages: [{ cursor: 'a', entries: [entry(1)] }, { cursor: 'c' }, { cursor: 'd', entries: [entry(3)] }],
    streams: [[alive(), event('revoked', entry(2), 'b +/')], event('reset', { as_of: now() })],
  });
  await until(() => asked.length >= 6);
  const expected = [['page', null], ['stream', 'a'], ['page', 'b +/'], ['stream', 'c'], ['page', null], ['stream', 'd']];
  assert.deepEqual(asked.slice(0, 6), expected);
  await until(() => !feed.isRevoked(token(2), 'k'));
  assert.equal(feed.isRevoked(token(3), 'k'), true);
});

test('without news nothing is called good for longer than was agreed', async (t) => {
  const { feed, stop } = await issuer(t, { pages: [{ entries: [entry(1)] }] });
  await until(() => feed.state().fresh);
  assert.equal(feed.isRevoked(token(2), 'k'), false);
  stop();
  await until(() => !feed.state().fresh);
  assert.throws(() => feed.isRevoked(token(2), 'k'), Stale);
  assert.equal(feed.isRevoked(token(1), 'k'), true);
});

test('news that were heard before are none', async (t) => {
  const as_of = now();
  const pages = Array.from({ length: 50 }, () => ({ as_of }));
  const streams = Array.from({ length: 50 }, () => [event('alive', { as_of })]);
  const { feed } = await issuer(t, { pages, streams });
  await until(() => feed.state().fresh);
  await until(() => !feed.state().fresh);
  assert.throws(() => feed.isRevoked(token(2), 'k'), Stale);
});
