-- OAuth clients. Of a secret only its SHA-256 is kept; a public client has none.

CREATE TABLE clients (
  id          text   COLLATE "C" CONSTRAINT clients_id PRIMARY KEY,
  name        text   NOT NULL,
  secret_hash bytea  CHECK (length(secret_hash) = 32),
  audiences   text   NOT NULL, -- JSON array of strings
  created_at  bigint NOT NULL
);

-- Sessions that were granted to a client: they end with it. This server's own logins, nearly all, are not in it.
CREATE INDEX sessions_client ON sessions (client_id) WHERE client_id <> 'jotgate';
