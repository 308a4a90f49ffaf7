// oidc-provider with the adapter that it comes with, which keeps everything in memory: nothing is durable. It has no
// passwords of its own, so sessions are made by its models, as an application's login page would.
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const clientId = "bench";
// ES256, as Jotgate: RS256, its default, would take it longer to sign.
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const provider = new Provider("http://localhost", {
  clients: [{
    client_id: clientId,
    token_endpoint_auth_method: "none",
    redirect_uris: ["http://localhost/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    id_token_signed_response_alg: "ES256",
  }],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "ES256", use: "sig", kid: "bench" }] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  rotateRefreshToken: true,
  features: { devInteractions: { enabled: false } },
  cookies: { keys: ["a secret of the benchmark, and of nothing else"] },
});

const client = await provider.Client.find(clientId);
const me = [];
const refresh = [];
for (let user = 0; user < Number(process.env.BENCH_USERS); user++) {
  const accountId = `user-${user}`;
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope("openid offline_access");
  const grantId = await grant.save();
  const common = { accountId, client, grantId, gty: "authorization_code", scope: "openid offline_access" };
  refresh.push(await new provider.RefreshToken(common).save());
  me.push(await new provider.AccessToken(common).save());
}
writeFileSync("seed.json", JSON.stringify({ me, refresh }));

const server = createServer(provider.callback());
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
