// A user agent at a provider: follows the provider's pages from the address given, signs in there as the person given,
// agrees to everything, and prints where the provider then sends the browser, without going there. With a file as third
// argument, the provider's cookies are kept in it from one time to the next.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const [start, login, kept] = process.argv.slice(2);
const { origin } = new URL(start);
const jar = new Map(kept && existsSync(kept) ? JSON.parse(readFileSync(kept)) : []);
let url = start;
let form;

for (let steps = 0; steps < 20; steps += 1) {
  if (new URL(url).origin !== origin) {
    if (kept) writeFileSync(kept, JSON.stringify([...jar]));
    console.log(url);
    process.exit(0);
  }
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  const answer = await fetch(url, { method: form ? 'POST' : 'GET', body: form, headers: { cookie }, redirect: 'manual' });
  form = undefined;
  for (const line of answer.headers.getSetCookie()) {
    const [pair] = line.split(';');
    const at = pair.indexOf('=');
    if (at + 1 === pair.length) jar.delete(pair.slice(0, at));
    else jar.set(pair.slice(0, at), pair.slice(at + 1));
  }
  if (answer.status >= 300 && answer.status < 400) {
    url = new URL(answer.headers.get('location'), url).href;
    continue;
  }
  const page = await answer.text();
  const action = /<form[^>]* action="([^"]+)"/.exec(page);
  if (!action) throw new Error(`${url}: ${answer.status}\n${page}`);
  url = new URL(action[1], url).href;
  const prompt = /name="prompt" value="([^"]+)"/.exec(page)[1];
  form = new URLSearchParams(prompt === 'login' ? { prompt, login, password: 'any' } : { prompt });
}
throw new Error(`no end at ${url}`);
