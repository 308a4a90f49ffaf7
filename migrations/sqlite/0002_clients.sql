-- OAuth clients. Of a secret only its SHA-256 is kept; a public client has none.

CREATE TABLE clients (
  id          TEXT    NOT NULL PRIMARY KEY,
  name        TEXT    NOT NULL,
  secret_hash BLOB    CHECK (length(secret_hash) = 32),
  audiences   TEXT    NOT NULL, -- JSON array of strings
  created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sessions that were granted to a client: they end with it. This server's own logins, nearly all, are not in it.
CREATE INDEX sessions_client ON sessions (client_id) WHERE client_id <> 'jotgate';
