// ISSUER=http://127.0.0.1:8080 node server.mjs
import { createServer } from 'node:http';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { Feed } from './jotgate-feed.mjs';

const { ISSUER, AUDIENCE = ISSUER, PORT = 3000, STALE_AFTER = 60 } = process.env;
const feed = new Feed(ISSUER, { staleAfter: Number(STALE_AFTER) });
// Kept for five minutes; an unknown key has them asked for again, once in 30 s at most.
const keys = createRemoteJWKSet(new URL(await feed.jwksUri()), { cacheMaxAge: 300_000, cooldownDuration: 30_000 });
const policy = {
  ...{ issuer: ISSUER, audience: AUDIENCE, typ: 'at+jwt', clockTolerance: 5 },
  algorithms: ['ES256', 'ES384', 'RS256', 'PS256', 'EdDSA'],
  requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
};

/** The claims of a token that is the issuer's, for this server, in time and not revoked. */
async function verify(request) {
  const token = /^Bearer +([\w.~+/=-]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (!token) throw { status: 401, challenge: 'Bearer' };
  const bad = { status: 401, challenge: 'Bearer error="invalid_token"' };
  const { payload, protectedHeader } = await jwtVerify(token, keys, policy).catch((error) => {
    throw error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout) ? bad : error;
  });
  if (feed.isRevoked(payload, protectedHeader.kid)) throw bad;
  return payload;
}

const routes = {
  'GET /healthz': () => feed.state(),
  'GET /notes': async (request) => ({ notes: [], of: (await verify(request)).preferred_username }),
  'DELETE /notes': async (request) => {
    const { sub, roles } = await verify(request);
    if (!roles?.includes('editor')) throw { status: 403 };
    return { deleted_by: sub };
  },
};

createServer(async (request, response) => {
  const answer = Promise.resolve(routes[`${request.method} ${request.url}`]?.(request));
  // Without keys or news nothing can be called good: 503.
  const failed = ({ status = 503, challenge }) => [status, { status }, challenge && { 'www-authenticate': challenge }];
  const [status, body, headers] = await answer.then((body) => (body ? [200, body] : [404, { status: 404 }]), failed);
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}).listen(PORT, '127.0.0.1');
