-- Ids are 16-byte UUIDs, instants are milliseconds since 1970, hashes are blobs. Hot updates touch no indexed
-- column, so a refresh rewrites one page.

CREATE TABLE users (
  id                  BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  username            TEXT    NOT NULL,
  username_canonical  TEXT    NOT NULL UNIQUE,
  email               TEXT,
  email_canonical     TEXT,
  email_verified_at   INTEGER,
  password_hash       TEXT,
  password_changed_at INTEGER,
  roles               TEXT    NOT NULL, -- JSON array of strings
  claims              TEXT    NOT NULL, -- JSON object
  created_at          INTEGER NOT NULL,
  disabled_at         INTEGER,
  version             INTEGER NOT NULL,
  CHECK ((email IS NULL) = (email_canonical IS NULL))
) STRICT;

-- An address belongs to whoever proved it; until then anybody may have typed it.
CREATE UNIQUE INDEX users_email ON users (email_canonical) WHERE email_verified_at IS NOT NULL;

CREATE TABLE sessions (
  id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  user_id          BLOB    NOT NULL REFERENCES users (id),
  client_id        TEXT    NOT NULL,
  scope            TEXT    NOT NULL,
  handle_hash      BLOB    NOT NULL UNIQUE CHECK (length(handle_hash) = 32),
  generation       INTEGER NOT NULL, -- last minted
  previous         INTEGER NOT NULL, -- last used
  first            INTEGER NOT NULL, -- first minted from the last used
  rotated_at       INTEGER,
  status           INTEGER,
  access_until     INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  authenticated_at INTEGER NOT NULL,
  last_used_at     INTEGER NOT NULL,
  idle_until       INTEGER NOT NULL,
  expires_at       INTEGER NOT NULL,
  address          TEXT    NOT NULL,
  user_agent       TEXT    NOT NULL,
  -- Where the refresh counter last moved from; null where that is where the session began.
  used_address     TEXT,
  used_agent       TEXT,
  -- The rotation of which a repeat from elsewhere was audited: once each.
  elsewhere_at     INTEGER,
  -- When the sweeper next looks at the row. It moves this on itself, so that a use need not.
  sweep_at         INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_sweep ON sessions (sweep_at);

-- The revocation log: status entries, and in an emergency keys, in the order in which they were revoked.
-- AUTOINCREMENT, because a follower's position must stay behind every later row even after the newest were swept.
CREATE TABLE revocations (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  status   INTEGER,
  kid      TEXT,
  until_at INTEGER NOT NULL,
  CHECK ((status IS NULL) <> (kid IS NULL))
) STRICT;

CREATE INDEX revocations_until ON revocations (until_at);

CREATE TABLE counters (
  name  TEXT    PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The status number last given.
INSERT INTO counters (name, value) VALUES ('status', 0);

CREATE TABLE throttles (
  bucket        BLOB    PRIMARY KEY,
  tries         INTEGER NOT NULL,
  counted_at    INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL,
  forgotten_at  INTEGER NOT NULL -- from here on the row says nothing that its absence does not
) STRICT, WITHOUT ROWID;

CREATE INDEX throttles_forgotten ON throttles (forgotten_at);

CREATE TABLE signing_keys (
  kid          TEXT    PRIMARY KEY,
  algorithm    TEXT    NOT NULL,
  sealed       BLOB    NOT NULL,
  published_at INTEGER NOT NULL,
  signs_at     INTEGER,
  gone_at      INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- No foreign keys: what happened stays told when the user is gone.
CREATE TABLE audit (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  action     TEXT    NOT NULL,
  actor      TEXT    NOT NULL,
  actor_id   BLOB,
  user_id    BLOB,
  session_id BLOB,
  address    TEXT    NOT NULL,
  detail     TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_user ON audit (user_id) WHERE user_id IS NOT NULL;
