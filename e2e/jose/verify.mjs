// Verifies a token a line with npm jose and jsonwebtoken, as strictly as each of them can be told to, and writes a
// line of verdicts: null for accepted, else why not.
import { createInterface } from "node:readline";
import { createPublicKey, createSecretKey } from "node:crypto";
import { importJWK, jwtVerify } from "jose";
import jsonwebtoken from "jsonwebtoken";

const keys = new Map();

async function keyFor(jwk, alg) {
  const name = alg + JSON.stringify(jwk);
  if (!keys.has(name)) {
    const { alg: _, key_ops: __, use: ___, ...bare } = jwk;
    keys.set(name, {
      jose: await importJWK(bare, alg),
      node: jwk.kty === "oct"
        ? createSecretKey(Buffer.from(jwk.k, "base64url"))
        : createPublicKey({ key: bare, format: "jwk" }),
    });
  }
  return keys.get(name);
}

async function withJose(key, { token, alg, now, issuer, audience }) {
  try {
    await jwtVerify(token, key, {
      algorithms: [alg],
      issuer,
      audience,
      typ: "at+jwt",
      currentDate: new Date(now * 1000),
      clockTolerance: 0,
      requiredClaims: ["exp", "sub", "client_id", "iat", "jti"],
    });
    return null;
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
}

function withJsonwebtoken(key, { token, alg, now, issuer, audience }) {
  // The package has no EdDSA.
  if (alg === "EdDSA") return undefined;
  try {
    const claims = jsonwebtoken.verify(token, key, {
      algorithms: [alg],
      issuer,
      audience,
      clockTimestamp: now,
      clockTolerance: 0,
    });
    return typeof claims === "object" ? null : "not an object";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const question = JSON.parse(line);
  const key = await keyFor(question.jwk, question.alg);
  const verdict = {
    "npm jose": await withJose(key.jose, question),
    "npm jsonwebtoken": withJsonwebtoken(key.node, question),
  };
  process.stdout.write(JSON.stringify(verdict) + "\n");
}
