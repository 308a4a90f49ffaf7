// A resource server of npm: jose with its remote JWK Set, kept for the set's own max-age. A token comes in on a line, a
// verdict goes out on one.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [, , issuer, modules] = process.argv;
const { createRemoteJWKSet, jwtVerify } = await import(
  pathToFileURL(createRequire(join(modules, 'script.js')).resolve('jose'))
);

const jwks = new URL(`${issuer}/.well-known/jwks.json`);
const age = Number(/max-age=(\d+)/.exec((await fetch(jwks)).headers.get('cache-control'))[1]) * 1000;
// No second look for a key that is unknown: whoever honours max-age never needs one.
const keys = createRemoteJWKSet(jwks, { cacheMaxAge: age, cooldownDuration: 3_600_000 });
const policy = { issuer, audience: issuer, typ: 'at+jwt', requiredClaims: ['exp', 'sub', 'sid'] };

console.log('ready');
for await (const token of createInterface({ input: process.stdin })) {
  console.log(await jwtVerify(token, keys, policy).then(() => 'valid', (error) => error.code ?? String(error)));
}
