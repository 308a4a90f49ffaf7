// An OAuth client of npm: oauth4webapi, strict about what it is answered. What to ask comes in on a line as JSON, what
// was said goes out on one.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [, , issuer, modules] = process.argv;
const oauth = await import(
  pathToFileURL(createRequire(join(modules, 'script.js')).resolve('oauth4webapi'))
);

const options = { [oauth.allowInsecureRequests]: true };
const found = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...options });
const server = await oauth.processDiscoveryResponse(new URL(issuer), found);

async function ask({ what, id, secret, post, token, hint }) {
  const client = { client_id: id };
  const way = post ? oauth.ClientSecretPost : oauth.ClientSecretBasic;
  const shown = secret ? way(secret) : oauth.None();
  const additionalParameters = hint ? { token_type_hint: hint } : undefined;
  const sent = [server, client, shown, token, { additionalParameters, ...options }];
  if (what === 'revoke') {
    await oauth.processRevocationResponse(await oauth.revocationRequest(...sent));
    return 'revoked';
  }
  return oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(...sent));
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const said = await ask(JSON.parse(line)).catch((error) => {
    const challenge = error instanceof oauth.WWWAuthenticateChallengeError ? error.cause[0].scheme : undefined;
    return { refused: error.error ?? challenge ?? String(error), status: error.status };
  });
  console.log(JSON.stringify(said));
}
