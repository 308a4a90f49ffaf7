// A verifier that shares no code with Jotgate: Node.js alone, written from draft-ietf-oauth-status-list. It polls the
// lists that tokens name, keeps each for its `ttl`, and keeps the JWK Set for its max-age. A token comes in on a line,
// a verdict goes out on one.

import { createPublicKey, verify } from 'node:crypto';
import { createInterface } from 'node:readline';
import { inflateSync } from 'node:zlib';

const issuer = process.argv[2];
const ALGORITHMS = {
  ES256: (data, key, signature) => verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature),
  EdDSA: (data, key, signature) => verify(null, data, key, signature),
  RS256: (data, key, signature) => verify('sha256', data, key, signature),
};

const now = () => Date.now() / 1000;
let keys = { until: 0, all: new Map() };
const lists = new Map();

async function keyOf(kid) {
  if (now() >= keys.until) {
    const response = await fetch(`${issuer}/.well-known/jwks.json`);
    const age = Number(/max-age=(\d+)/.exec(response.headers.get('cache-control'))[1]);
    const { keys: all } = await response.json();
    keys = { until: now() + age, all: new Map(all.map((jwk) => [jwk.kid, jwk])) };
  }
  return keys.all.get(kid);
}

async function opened(token, typ) {
  const [header, payload, signature] = token.split('.');
  const json = (part) => JSON.parse(Buffer.from(part, 'base64url'));
  const { alg, kid, typ: is } = json(header);
  if (is !== typ) throw 'wrong_type';
  const jwk = await keyOf(kid);
  if (!jwk || jwk.alg !== alg) throw 'unknown_key';
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const data = Buffer.from(`${header}.${payload}`);
  if (!ALGORITHMS[alg](data, key, Buffer.from(signature, 'base64url'))) throw 'invalid_signature';
  const claims = json(payload);
  if (claims.exp <= now()) throw 'expired';
  return claims;
}

async function bits(uri) {
  let known = lists.get(uri);
  if (!known || now() >= known.until) {
    const response = await fetch(uri, { headers: { accept: 'application/statuslist+jwt' } });
    if (response.headers.get('content-type') !== 'application/statuslist+jwt') throw 'no_status_list';
    const { sub, ttl, status_list: list } = await opened(await response.text(), 'statuslist+jwt');
    if (sub !== uri || list.bits !== 1) throw 'no_status_list';
    known = { until: now() + ttl, bytes: inflateSync(Buffer.from(list.lst, 'base64url')) };
    lists.set(uri, known);
  }
  return known.bytes;
}

async function verdict(token) {
  const claims = await opened(token, 'at+jwt');
  if (claims.iss !== issuer) throw 'wrong_issuer';
  const { uri, idx } = claims.status.status_list;
  const bytes = await bits(uri);
  if (idx >= bytes.length * 8) throw 'no_such_entry';
  return (bytes[idx >> 3] >> (idx & 7)) & 1 ? 'revoked' : 'valid';
}

await keyOf('');
console.log('ready');
for await (const token of createInterface({ input: process.stdin })) {
  console.log(await verdict(token).catch((why) => (typeof why === 'string' ? why : `error: ${why}`)));
}
