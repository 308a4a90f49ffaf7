// Follows a Jotgate's revocation feed, as its docs/revocation-feed.md says. One file that needs Node.js 20 and
// nothing else: copy it. SPDX-License-Identifier: Apache-2.0 OR MIT

const METADATA = '/.well-known/oauth-authorization-server';
// The most that is read: bytes of metadata, of a page, of an event; pages in a row; entries kept.
const LIMIT = { metadata: 256 * 1024, page: 8 * 1024 * 1024, event: 64 * 1024, pages: 2_000, entries: 1_000_000 };
// Seconds. A whole answer, or the beginning of the stream, comes within `patience`; the stream says something at
// once, and then every 5 s; without a stream the feed is asked every `poll`.
const TIME = { patience: 10, firstWord: 2, silence: 12, poll: 0.9, heldBack: 60, sweep: 60 };
const WAIT = { first: 0.1, most: 4 };

/** Too little is known to call a token good. Answer 503, not 401: the token may be. */
export class Stale extends Error {}

/** Something on the way keeps the stream back. */
class HeldBack extends Error {}

export class Feed {
  #issuer;
  #staleAfter;
  #endpoints; // none until the issuer told them
  #waiting = []; // who waits for them
  #known = new Map(); // what is revoked → until when, in seconds since 1970
  #cursor;
  #asOf; // up to when all is known, by the slower clock; the issuer's own word for it; when it last changed
  #told;
  #heardAt = 0;
  #sweepAt = 0;
  #streaming = false;
  #trouble = null;
  #end = new AbortController();

  /**
   * Begins to follow `issuer` (exactly as its tokens name it); needs nobody to be up.
   * @param {string} issuer
   * @param {{staleAfter?: number}} [options] seconds without news after which nothing is called good any more
   */
  constructor(issuer, { staleAfter = 60 } = {}) {
    const url = new URL(issuer);
    const here = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
    if (url.origin !== issuer) throw new TypeError('an issuer is https://host or https://host:port');
    if (url.protocol !== 'https:' && !here) throw new TypeError('http to another host can be forged');
    if (!(staleAfter > 0)) throw new TypeError('staleAfter is a number of seconds');
    this.#issuer = issuer;
    this.#staleAfter = staleAfter;
    this.#follow();
  }

  /**
   * Whether a token, of which everything else is verified, was revoked.
   * @throws {Stale} it was not, as far as is known, but too little is known
   */
  isRevoked(claims, kid) {
    // A token without `kid` would be good under a key that is revoked.
    if (typeof kid !== 'string' || this.#known.has(`kid ${kid}`)) return true;
    if (claims.status !== undefined) {
      const { uri, idx } = claims.status?.status_list ?? {};
      if (typeof uri !== 'string' || !isCount(idx) || this.#known.has(`${idx} ${uri}`)) return true;
    }
    if (this.#age() > this.#staleAfter) throw new Stale('the revocations are not known');
    return false;
  }

  /** For a health check. `age`: seconds since all was known, null before the first time. */
  state() {
    const age = this.#age();
    return {
      fresh: age <= this.#staleAfter,
      age: Number.isFinite(age) ? age : null,
      entries: this.#known.size,
      streaming: this.#streaming,
      trouble: this.#trouble,
    };
  }

  /** Where the issuer has its keys; fails where it cannot be asked within so many seconds. */
  async jwksUri(within = 30) {
    if (this.#endpoints) return this.#endpoints.keys;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.#issuer}: ${this.#trouble ?? 'no answer'}`)), within * 1000);
    });
    const told = new Promise((resolve) => this.#waiting.push(resolve));
    return Promise.race([told, late]).finally(() => clearTimeout(timer));
  }

  close() {
    this.#end.abort();
  }

  #age() {
    if (this.#asOf === undefined) return Infinity;
    // Both clocks: the one may be set back, the other may stand still while the machine sleeps.
    return Math.max(0, Date.now() / 1000 - this.#asOf, monotonic() - this.#heardAt);
  }

  async #follow() {
    let wait = WAIT.first;
    let noStreamBefore = 0;
    while (!this.#end.signal.aborted) {
      const began = monotonic();
      let caughtUp = false;
      try {
        await this.#discover();
        await this.#catchUp();
        caughtUp = true;
        this.#trouble = null;
        if (began >= noStreamBefore) await this.#stream();
      } catch (error) {
        this.#trouble = String(error?.cause?.message ?? error?.message ?? error);
        if (error instanceof HeldBack) noStreamBefore = monotonic() + TIME.heldBack;
        // The issuer may have moved them.
        if (!caughtUp) this.#endpoints = undefined;
      }
      this.#streaming = false;
      if (monotonic() - began > TIME.patience) wait = WAIT.first;
      wait = Math.min(wait, caughtUp ? TIME.poll : WAIT.most);
      // Not all who follow come back in one moment.
      const pause = wait * (1 + Math.random() / 2) * 1000;
      await new Promise((resolve) => setTimeout(resolve, pause).unref());
      wait *= 2;
    }
  }

  async #discover() {
    if (this.#endpoints) return;
    const metadata = await this.#read(this.#issuer + METADATA, LIMIT.metadata);
    if (metadata?.issuer !== this.#issuer) throw new Error('metadata of another issuer');
    const atHome = (uri) => {
      // By the text: whatever follows the slash, the host is the issuer's.
      if (typeof uri === 'string' && uri.startsWith(`${this.#issuer}/`) && /^[!-"$-~]+$/.test(uri)) return uri;
      throw new Error('an address outside the issuer, or none');
    };
    this.#endpoints = { feed: atHome(metadata.revocation_feed_endpoint), keys: atHome(metadata.jwks_uri) };
    this.#waiting.splice(0).forEach((resolve) => resolve(this.#endpoints.keys));
  }

  /** Pages until there are no more. What begins anew is put together aside: nothing revoked passes meanwhile. */
  async #catchUp() {
    let cursor = this.#cursor;
    let anew = cursor === undefined ? new Map() : undefined;
    for (let pages = 0; pages < LIMIT.pages; pages += 1) {
      const page = await this.#read(this.#feedFrom(cursor), LIMIT.page);
      if (typeof page?.cursor !== 'string' || !isCount(page.as_of) || !Array.isArray(page.entries)) {
        throw new Error('no page of a feed');
      }
      if (page.reset === true) anew = new Map();
      page.entries.forEach((entry) => put(anew ?? this.#known, entry));
      cursor = page.cursor;
      if (page.more === true) continue;
      if (anew) {
        // A node that lags behind the last one takes nothing back.
        if (this.#told > page.as_of) this.#known.forEach((until, what) => anew.set(what, until));
        this.#known = anew;
      }
      this.#cursor = cursor;
      this.#heard(page.as_of);
      return;
    }
    throw new Error('a feed without an end');
  }

  /** Takes what comes, for as long as it comes. Returns where everything is to be learned anew. */
  async #stream() {
    const cut = new AbortController();
    const ended = AbortSignal.any([cut.signal, this.#end.signal]);
    let timer;
    const allow = (seconds, error) => {
      clearTimeout(timer);
      timer = setTimeout(() => cut.abort(error), seconds * 1000).unref();
    };
    try {
      allow(TIME.patience, new HeldBack('no stream in time'));
      const response = await ask(this.#feedFrom(this.#cursor), 'text/event-stream', ended);
      if (!response.headers.get('content-type')?.startsWith('text/event-stream')) throw new Error('no event stream');
      allow(TIME.firstWord, new HeldBack('the stream is held back'));
      for await (const event of events(response.body)) {
        this.#streaming = true;
        // After a whole event only: bytes that never become one are silence.
        allow(TIME.silence, new Error('the stream fell silent'));
        if (event.name === 'reset') {
          this.#cursor = undefined;
          return;
        }
        if (event.name === 'revoked') put(this.#known, JSON.parse(event.data));
        if (event.name === 'alive') this.#heard(JSON.parse(event.data)?.as_of);
        // After what it tells is done.
        if (event.id !== undefined) this.#cursor = event.id;
      }
      throw new Error('the stream ended');
    } finally {
      clearTimeout(timer);
      cut.abort();
    }
  }

  #heard(asOf) {
    if (!isCount(asOf)) throw new Error('no as_of');
    // Heard again, it is no news: a node that lost its database says the same for ever.
    if (asOf === this.#told) return;
    this.#told = asOf;
    const now = Date.now() / 1000;
    const slower = Math.min(asOf, now);
    if (this.#asOf === undefined || slower > this.#asOf || this.#asOf > now) {
      this.#asOf = slower;
      this.#heardAt = monotonic();
    }
    if (monotonic() < this.#sweepAt) return;
    this.#sweepAt = monotonic() + TIME.sweep;
    this.#known.forEach((until, what) => until < slower && this.#known.delete(what));
  }

  #feedFrom(cursor) {
    const { feed } = this.#endpoints;
    return cursor === undefined ? feed : `${feed}?since=${encodeURIComponent(cursor)}`;
  }

  async #read(url, limit) {
    const signal = AbortSignal.any([AbortSignal.timeout(TIME.patience * 1000), this.#end.signal]);
    const response = await ask(url, 'application/json', signal);
    const parts = [];
    let size = 0;
    for await (const part of response.body) {
      size += part.length;
      if (size > limit) throw new Error('the answer is too long');
      parts.push(part);
    }
    return JSON.parse(Buffer.concat(parts).toString());
  }
}

/** No redirect is followed: nobody but the issuer is asked. */
async function ask(url, accept, signal) {
  const headers = { accept, 'accept-encoding': 'identity' };
  const response = await fetch(url, { headers, signal, redirect: 'error' });
  if (response.status === 200) return response;
  await response.body?.cancel();
  throw new Error(`the issuer answered ${response.status}`);
}

/** Half an entry is refused, not passed over: it was a revocation. One of a kind to come is passed over. */
function put(known, entry) {
  if (typeof entry !== 'object' || entry === null) throw new Error('no entry of a feed');
  const { uri, idx, kid, until } = entry;
  if (uri == null && idx == null && kid == null) return;
  const status = typeof uri === 'string' && isCount(idx) && kid == null;
  const key = typeof kid === 'string' && uri == null && idx == null;
  if (!(status || key) || !isCount(until)) throw new Error('half an entry of a feed');
  const what = key ? `kid ${kid}` : `${idx} ${uri}`;
  known.set(what, Math.max(until, known.get(what) ?? 0));
  if (known.size > LIMIT.entries) throw new Error('too many entries');
}

/** Server-sent events, as far as the feed has them. */
async function* events(body) {
  const text = new TextDecoder();
  let rest = '';
  let event = {};
  let size = 0;
  for await (const part of body) {
    const lines = (rest + text.decode(part, { stream: true })).split('\n');
    rest = lines.pop();
    for (const ended of lines) {
      const line = ended.replace(/\r$/, '');
      size += line.length;
      if (size > LIMIT.event) throw new Error('an event without an end');
      if (line === '') {
        if (event.data !== undefined) yield event;
        event = {};
        size = 0;
        continue;
      }
      const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
      if (field === 'event') event.name = value ?? '';
      if (field === 'id') event.id = value ?? '';
      if (field === 'data') event.data = event.data === undefined ? (value ?? '') : `${event.data}\n${value ?? ''}`;
    }
    if (size + rest.length > LIMIT.event) throw new Error('an event without an end');
  }
}

function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

function monotonic() {
  return performance.now() / 1000;
}
