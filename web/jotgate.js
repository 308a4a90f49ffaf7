// Signs in and out, and keeps requests signed in. How to use it: docs/browser.md; types: jotgate.d.ts.
//
// The tokens are in HttpOnly cookies: no script sees them, this one included. What the tabs of an origin tell each
// other is who is signed in, and for how many seconds the access cookie is good.
//
// Served without comments and indentation, in less than 3 KB.

// The longest wait for an answer, in milliseconds.
const LIMIT = 10_000;

const pause = (time) => new Promise((over) => setTimeout(over, time));

export class JotgateError extends Error {}

async function read(answer) {
  const { ok, status, headers } = answer;
  // An answer that breaks off is a lost network.
  if (ok) return status > 200 ? null : answer.json();
  const { detail = `HTTP ${status}`, code } = await answer.json().catch(() => ({}));
  throw Object.assign(new JotgateError(detail), { status, code, retryAfter: +headers.get('retry-after') });
}

// Only this answer means signed out: not a lost network, not a server that is away.
const over = (error) => {
  if (error.status !== 401) throw error;
  return { user: null, code: error.code };
};

export class Jotgate extends EventTarget {
  // `user` is undefined while nobody knows, null for nobody.
  constructor({ base = import.meta.url } = {}) {
    super();
    const auth = new URL('auth/', base).href;
    const tabs = new BroadcastChannel(auth);
    // From when on a request refreshes first.
    let due;
    // Grows whenever a sign-in, a refresh or a sign-out is heard of, in whichever tab it was.
    let news = 0;
    let renewal;

    const hear = ({ data: { user, expires_in, code } }) => {
      const before = this.user;
      this.user = user;
      news += 1;
      // At a random moment, so that two holders of a copied cookie fall out of step.
      due = Date.now() + expires_in * (500 + 400 * Math.random());
      if ((before && before.id) === (user && user.id)) return;
      this.dispatchEvent(new CustomEvent(user ? 'signin' : 'signout', { detail: user ?? code }));
    };
    tabs.onmessage = hear;
    const tell = (data) => {
      tabs.postMessage(data);
      hear({ data });
    };

    const post = (path, body) => {
      const send = () => fetch(auth + path, {
        method: 'POST',
        credentials: 'include',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(LIMIT),
      }).then(read);
      return send().catch(async (error) => {
        const wait = 1000 * error.retryAfter;
        if (error.status !== 503 || !(wait <= LIMIT)) throw error;
        await pause(wait);
        return send();
      });
    };

    // Runs `work` while no other tab does the like, where the browser has Web Locks (in secure contexts only). Not
    // for ever: a tab that holds the lock may be frozen. Two refreshes at once do no harm either.
    const alone = (work) => new Promise((settle) => {
      const run = () => {
        const result = work();
        settle(result);
        // Held a little longer, so that the news is in every tab before the next one goes on.
        return result.then(() => pause(100), () => {});
      };
      (navigator.locks?.request(auth, { signal: AbortSignal.timeout(3 * LIMIT) }, run) ?? Promise.reject()).catch(run);
    });

    // One refresh for all requests of all tabs that need it now.
    const renew = () => {
      const known = news;
      return renewal ??= alone(async () => {
        if (known === news) tell(await post('refresh').catch(over));
      }).finally(() => renewal = null);
    };

    this.login = (credentials) => alone(async () => {
      tell(await post('login', { ...credentials, delivery: 'cookie' }));
      return this.user;
    });

    this.logout = (options) => alone(async () => {
      const ended = post('logout', options);
      tell(await ended.catch(over) ?? { user: null, code: 'logout' });
      // Refused: this session was over already, and the others go on.
      if (options?.all) await ended;
    });

    this.fetch = async (input, init) => {
      const request = new Request(input, { credentials: 'include', ...init });
      const again = request.clone();
      const known = news;
      // The cookie is good for a while yet: should this fail or be slow, the request goes all the same.
      if (Date.now() > due) await Promise.race([renew(), pause(1000)]).catch(() => {});
      const answer = await fetch(request);
      // A wrong password is nothing that a refresh mends.
      if (answer.status !== 401 || /invalid_credentials/.test(await answer.clone().text())) return answer;
      // What was heard of since the request began came after it.
      if (known === news) await renew();
      return this.user ? fetch(again) : answer;
    };

    this.me = async () => {
      const answer = await this.fetch(`${auth}me`);
      if (answer.status === 401) return null;
      const me = await read(answer);
      if (this.user === undefined) hear({ data: me });
      return me;
    };
  }
}
