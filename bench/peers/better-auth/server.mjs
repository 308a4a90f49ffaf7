// better-auth as its documentation sets it up: e-mail and password, SQLite. Its session is a row that each request
// reads; there is nothing to refresh.
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import Database from "better-sqlite3";

const database = new Database("better-auth.db");
database.pragma("journal_mode = WAL");
const options = {
  database,
  baseURL: "http://localhost",
  secret: "a secret of the benchmark, and of nothing else",
  emailAndPassword: { enabled: true },
  // All requests come from one address.
  rateLimit: { enabled: false },
  logger: { level: "error" },
  telemetry: { enabled: false },
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);

const password = process.env.BENCH_PASSWORD;
const me = [];
for (let user = 0; user < Number(process.env.BENCH_USERS); user++) {
  const body = { email: `user-${user}@example.com`, name: `user-${user}`, password };
  const { headers } = await auth.api.signUpEmail({ body, returnHeaders: true });
  me.push(headers.get("set-cookie").split(";")[0]);
}
writeFileSync("seed.json", JSON.stringify({ me, refresh: [] }));

const server = createServer(toNodeHandler(auth));
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
