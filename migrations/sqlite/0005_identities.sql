-- Who a user is at another provider: found by whom vouches and what that one calls them.
CREATE TABLE identities (
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  user_id    BLOB    NOT NULL REFERENCES users (id),
  issuer     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  provider   TEXT    NOT NULL, -- as it was called in the configuration when this was linked
  label      TEXT    NOT NULL, -- for people
  created_at INTEGER NOT NULL,
  UNIQUE (issuer, subject)
) STRICT;

CREATE INDEX identities_user ON identities (user_id);

-- What may be used once and was, until it would not be accepted any more.
CREATE TABLE spent (
  id       BLOB    PRIMARY KEY,
  until_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_until ON spent (until_at);
