// Applications that know nothing of Jotgate but its keys and its feed: they verify the access cookie with `jose`, refuse
// what the feed says is revoked, and send whoever they do not know where a sign-in begins. Each test runs them behind a
// real proxy with real TLS.

import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.JOTGATE_E2E_JOSE, 'script.js'));
const { createLocalJWKSet, jwtVerify } = require('jose');

const port = process.env.PROXY_PORT;
/** `https://NAME:PORT`, through the proxy. */
export const at = (name) => `https://${name}:${port}`;
export const id = at('id.example.test');
const inside = process.env.JOTGATE_E2E_URL;
const certificate = readFileSync(process.env.CERTIFICATE);
const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });

/** For `browse`: the names of the test, and trust in its one certificate and no other. */
export const world = {
  hosts: ['*.test'],
  switches: [`--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`],
};

/** What the applications have heard of the feed. */
class Feed {
  #revoked = new Set();
  #end = new AbortController();

  /** Resolves when the whole live set is known; goes on in the background. */
  async follow() {
    const response = await fetch(`${inside}/auth/revocations`, { headers: { accept: 'text/event-stream' }, signal: this.#end.signal });
    await new Promise((alive) => {
      (async () => {
        let text = '';
        for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
          text += piece;
          for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) this.#take(text.slice(0, end), alive);
        }
      })().catch(() => {});
    });
  }

  #take(event, alive) {
    const field = (name) => event.split('\n').find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
    if (field('event') === 'reset') this.#revoked.clear();
    if (field('event') === 'revoked') {
      const { uri, idx } = JSON.parse(field('data'));
      this.#revoked.add(`${uri}#${idx}`);
    }
    if (field('event') === 'alive') alive();
  }

  close() {
    this.#end.abort();
  }

  refuses({ status_list: { uri, idx } }) {
    return this.#revoked.has(`${uri}#${idx}`);
  }
}

/** All applications, told apart by the host that was asked; `seen` is the last request of each. */
export class Applications {
  seen = {};
  #feed = new Feed();
  #keys;
  #server;

  async start() {
    this.#keys = createLocalJWKSet(await (await fetch(`${inside}/.well-known/jwks.json`)).json());
    await this.#feed.follow();
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
    });
    await new Promise((listening) => this.#server.listen(process.env.APPLICATION_PORT, '127.0.0.1', listening));
  }

  close() {
    this.#feed.close();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** The claims of a token that is good here and now; `clock` is how many seconds this application's is wrong. */
  async verify(token, clock = 0) {
    const currentDate = new Date(Date.now() + clock * 1000);
    const options = { issuer: id, audience: id, typ: 'at+jwt', currentDate, clockTolerance: 0 };
    const { payload } = await jwtVerify(token, this.#keys, options);
    if (this.#feed.refuses(payload.status)) throw new Error('revoked');
    return payload;
  }

  /** Seconds until this token is refused. */
  async refuses(token) {
    const begin = Date.now();
    while (await this.verify(token).then(() => true, () => false)) {
      if (Date.now() - begin > 5000) throw new Error('not refused within five seconds');
      await new Promise((later) => setTimeout(later, 10));
    }
    return (Date.now() - begin) / 1000;
  }

  async #answer(request, response) {
    const host = request.headers.host.split(':')[0];
    const url = new URL(request.url, at(host));
    let body = '';
    for await (const piece of request) body += piece;
    this.seen[host] = { method: request.method, cookie: request.headers.cookie ?? '', headers: request.headers, body };
    const cookies = (request.headers.cookie ?? '').split(/; */).map((pair) => pair.split('='));
    const named = cookies.filter(([name]) => name === '__Host-jwt' || name === '__Secure-jwt');
    const [, area] = url.pathname.split('/');
    // A page of anybody, from which others are attacked.
    if (area === 'open') return void response.setHeader('content-type', 'text/html; charset=utf-8').end(page('Open', ''));
    // An application whose clock is a day ahead, one that wants something else, one that throws its cookie away.
    const clock = area === 'wrong-clock' ? 86400 : 0;
    let who = request.headers['x-auth-username'];
    if (!who && named.length === 1 && area !== 'never' && area !== 'clears') {
      who = (await this.verify(named[0][1], clock).catch(() => ({}))).preferred_username;
    }
    response.setHeader('content-type', 'text/html; charset=utf-8');
    if (area === 'clears') {
      const past = (name) => `${name}=; Path=/; Max-Age=0; Secure; HttpOnly`;
      response.setHeader('set-cookie', [past('__Host-jwt'), `${past('__Secure-jwt')}; Domain=example.test`]);
    }
    if (who) return void response.end(page(`${who} at ${host}`, `<p id="body">${escaped(body)}</p>${form}`));
    // What was posted would be lost in a redirect: it is refused, and the browser still has the form.
    if (request.method !== 'GET') return void response.writeHead(401).end(page('Not signed in', 'Nothing was saved. Go back: what you typed is still there.'));
    const here = host.endsWith('.example.test')
      ? `${id}/login?return_to=${encodeURIComponent(url.href)}`
      : `/_jotgate/start?return_to=${encodeURIComponent(url.pathname + url.search)}`;
    response.writeHead(302, { location: here }).end();
  }
}

const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const form = '<form method="post"><label>Text <input name="text"></label><button>Save</button></form>';
const page = (title, rest) =>
  `<!doctype html><html lang="en"><head><title>${title}</title><link rel="icon" href="data:,"></head><body><h1>${title}</h1>${rest}</body></html>`;

/** A request outside of any browser, as a thief sends it: over TLS, with whatever headers. */
export function ask(origin, path, { method = 'GET', headers = {}, body } = {}) {
  const { hostname, host } = new URL(origin);
  return new Promise((answered, failed) => {
    const options = { host: '127.0.0.1', port, servername: hostname, ca: certificate, method, path, headers: { host, ...headers } };
    const asked = request(options, async (response) => {
      let text = '';
      for await (const piece of response) text += piece;
      answered({ status: response.statusCode, headers: response.headers, text });
    });
    asked.on('error', failed);
    asked.end(body);
  });
}

/** Fills the login page. */
export async function signIn(page, username = 'ada') {
  await page.getByLabel('User name or e-mail').fill(username);
  await page.getByLabel('Password').fill(process.env.PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** The value of a cookie as the browser has it for `origin`. */
export async function cookie(context, origin, name) {
  return (await context.cookies(origin)).find((cookie) => cookie.name === name)?.value;
}
