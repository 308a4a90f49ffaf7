// What the types of jotgate.js allow and what they do not: read by the compiler, never run.

import { Jotgate, JotgateError, type Me, type User } from '../../web/jotgate.js';

const jot = new Jotgate();
export const elsewhere = [new Jotgate({}), new Jotgate({ base: 'https://login.example.com' }), new Jotgate({ base: new URL('https://x.example') })];

jot.addEventListener('signin', (event) => {
  const user: User = event.detail;
  console.log(user.username, user.roles.includes('admin'), user.email?.length);
});
jot.addEventListener('signout', ({ detail }) => console.log(detail.toUpperCase()), { once: true });
const listener = (event: CustomEvent<string>) => console.log(event.detail);
jot.addEventListener('signout', listener);
jot.removeEventListener('signout', listener);

export async function use(): Promise<Response> {
  try {
    const user: User = await jot.login({ username: 'ada', password: 'four unrelated words here' });
    await jot.login({ username: 'ada', password: 'four unrelated words here', scope: 'admin' });
    console.log(user.id);
  } catch (error) {
    if (error instanceof JotgateError && error.code === 'too_many_attempts') console.log(error.status, error.retryAfter + 1);
  }
  const me: Me | null = await jot.me();
  console.log(me?.session.expires_at, me?.claims.exp, me?.claims['permissions']);
  if (jot.user) console.log(jot.user.email_verified);
  await jot.logout();
  await jot.logout({ all: true });
  const { fetch } = jot;
  await fetch(new URL('https://api.example.com/'), { method: 'POST', body: '{}' });
  return fetch(new Request('/api'));
}

export async function misuse(): Promise<void> {
  // @ts-expect-error: the password is missing
  await jot.login({ username: 'ada' });
  // @ts-expect-error: nobody may say who is signed in
  jot.user = null;
  // @ts-expect-error: null for nobody
  (await jot.me()).user;
  // @ts-expect-error: no such option
  await jot.logout({ everywhere: true });
  // @ts-expect-error: no such option
  new Jotgate({ url: '/' });
  // @ts-expect-error: it reaches nobody who listens to it
  jot.addEventListener('signin', (event: CustomEvent<number>) => event);
}
