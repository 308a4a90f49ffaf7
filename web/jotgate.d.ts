// Types of /jotgate.js. How to use it: docs/browser.md.

/** Somebody who is signed in. */
export interface User {
  readonly id: string;
  readonly username: string;
  readonly email: string | null;
  readonly email_verified: boolean;
  readonly roles: readonly string[];
  /** RFC 3339, in UTC. */
  readonly created_at: string;
}

/** The answer of `GET /auth/me`: the records as they are now, and the claims as they stand in the access token. */
export interface Me {
  readonly user: User;
  readonly session: {
    readonly id: string;
    readonly current: true;
    readonly client_id: string;
    readonly scope: string;
    readonly created_at: string;
    readonly authenticated_at: string;
    readonly last_used_at: string;
    readonly expires_at: string;
    readonly address: string;
    readonly user_agent: string;
  };
  readonly claims: { readonly sub: string; readonly sid: string; readonly exp: number; readonly [name: string]: unknown };
}

/** A refusal by Jotgate. A network that is lost is the `TypeError` of `fetch`, no answer in 10 s a `TimeoutError`. */
export class JotgateError extends Error {
  /** Stable, such as `invalid_credentials`; undefined where the answer is not Jotgate's. */
  readonly code?: string;
  /** Of the HTTP answer. */
  readonly status: number;
  /** Seconds until another try may succeed (429, 503); 0 or NaN where the answer does not say. */
  readonly retryAfter: number;
}

export interface JotgateEvents {
  /** Somebody is signed in who was not, or was not known to be: who. */
  signin: CustomEvent<User>;
  /** Nobody is any more, or turned out not to be: `logout`, or the code that a refresh was refused with. */
  signout: CustomEvent<string>;
}

/** One for a page. It talks to those of other tabs that have the same `base`. */
export class Jotgate extends EventTarget {
  /** `base`: where Jotgate is, an absolute URL; where this module came from unless told. */
  constructor(options?: { base?: string | URL });

  /** Who is signed in, as far as any tab has heard; null for nobody, undefined while that is unknown. */
  readonly user: User | null | undefined;

  /** Signs in by cookie. Throws a `JotgateError`: `invalid_credentials`, `too_many_attempts`, `busy`… */
  readonly login: (credentials: { username: string; password: string; scope?: string }) => Promise<User>;

  /** Signs out; with `all`, on every device. Where this throws, somebody may still be signed in. */
  readonly logout: (options?: { all?: boolean }) => Promise<void>;

  /** Asks who is signed in: null for nobody. Throws where nobody can tell: network, 5xx. */
  readonly me: () => Promise<Me | null>;

  /**
   * `fetch` with cookies: refreshes before they run out; after a 401 refreshes and asks once more. A 401 that it
   * answers with stands. Throws as `fetch` does, and a `JotgateError` where the refresh failed otherwise.
   */
  readonly fetch: typeof globalThis.fetch;

  addEventListener<K extends keyof JotgateEvents>(
    type: K,
    listener: (event: JotgateEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof JotgateEvents>(
    type: K,
    listener: (event: JotgateEvents[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
