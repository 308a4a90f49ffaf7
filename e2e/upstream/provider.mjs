// A real OpenID Connect provider: the npm package oidc-provider, with a login page of its own and accounts that it
// makes up: whoever signs in as `ada` is ada, with the verified address ada@example.com; `unverified-…` has not proven
// theirs. Prints its issuer when it listens, and ends with its standard input.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [host, alg, ...redirectUris] = process.argv.slice(2);
const module = join(process.env.JOTGATE_E2E_UPSTREAM, 'node_modules/oidc-provider/lib/index.js');
const { Provider } = await import(pathToFileURL(module));

const KINDS = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
};
const jwk = { ...KINDS[alg]().privateKey.export({ format: 'jwk' }), kid: `${alg}-1`, alg, use: 'sig' };

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://${host}:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'jotgate',
    client_secret: 'secret-with:odd/characters+%',
    redirect_uris: redirectUris,
    id_token_signed_response_alg: alg,
  }],
  pkce: { required: () => true },
  jwks: { keys: [jwk] },
  enabledJWA: { idTokenSigningAlgValues: [alg] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id.replace(/^unverified-/, '')}@example.com`,
      email_verified: !id.startsWith('unverified-'),
      name: `Person ${id}`,
      preferred_username: id,
    }),
  }),
});
server.on('request', provider.callback());
console.log(issuer);
process.stdin.resume().on('end', () => process.exit(0));
