import { Jotgate } from '/jotgate.js';

const jot = new Jotgate();
const [form, load, leave, status] = ['form', '#load', '#leave', '[role=status]'].map((s) => document.querySelector(s));
const say = (text) => (status.textContent = text);

// In every tab, whichever of them it was in.
jot.addEventListener('signin', ({ detail: user }) => say(`Signed in as ${user.username}`));
jot.addEventListener('signout', () => say('Signed out'));

form.addEventListener('submit', (event) => {
  event.preventDefault();
  jot.login(Object.fromEntries(new FormData(form))).catch(({ message }) => say(message));
});
leave.addEventListener('click', () => jot.logout().catch(({ message }) => say(message)));
load.addEventListener('click', async () => say(await (await jot.fetch('/api/notes')).text()));

// Who is here already? One of the two events follows.
await jot.me();
