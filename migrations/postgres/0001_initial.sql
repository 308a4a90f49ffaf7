-- Instants are milliseconds since 1970, hashes are bytes; text that is compared or sorted is in bytes' order. Hot
-- updates touch no indexed column, and pages keep room for the next version of their rows.

CREATE TABLE users (
  id                  uuid   PRIMARY KEY,
  username            text   NOT NULL,
  username_canonical  text   COLLATE "C" NOT NULL CONSTRAINT users_username UNIQUE,
  email               text,
  email_canonical     text   COLLATE "C",
  email_verified_at   bigint,
  password_hash       text,
  password_changed_at bigint,
  roles               text   NOT NULL, -- JSON array of strings
  claims              text   NOT NULL, -- JSON object, as it was written: jsonb would change numbers
  created_at          bigint NOT NULL,
  disabled_at         bigint,
  version             bigint NOT NULL,
  CHECK ((email IS NULL) = (email_canonical IS NULL))
) WITH (fillfactor = 90);

-- An address belongs to whoever proved it; until then anybody may have typed it.
CREATE UNIQUE INDEX users_email ON users (email_canonical) WHERE email_verified_at IS NOT NULL;

-- The status number last given; a sequence, so that sessions do not queue for one row.
CREATE SEQUENCE status_numbers AS bigint;

CREATE TABLE sessions (
  id               uuid   PRIMARY KEY,
  user_id          uuid   NOT NULL REFERENCES users (id),
  client_id        text   NOT NULL,
  scope            text   NOT NULL,
  handle_hash      bytea  NOT NULL UNIQUE CHECK (length(handle_hash) = 32),
  generation       bigint NOT NULL, -- last minted
  previous         bigint NOT NULL, -- last used
  first            bigint NOT NULL, -- first minted from the last used
  rotated_at       bigint,
  status           bigint,
  access_until     bigint NOT NULL,
  created_at       bigint NOT NULL,
  authenticated_at bigint NOT NULL,
  last_used_at     bigint NOT NULL,
  idle_until       bigint NOT NULL,
  expires_at       bigint NOT NULL,
  address          text   NOT NULL,
  user_agent       text   NOT NULL,
  -- Where the refresh counter last moved from; null where that is where the session began.
  used_address     text,
  used_agent       text,
  -- The rotation of which a repeat from elsewhere was audited: once each.
  elsewhere_at     bigint,
  -- When the sweeper next looks at the row. It moves this on itself, so that a use need not.
  sweep_at         bigint NOT NULL
) WITH (fillfactor = 75);

CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_sweep ON sessions (sweep_at);

-- The revocation log. Numbers from a sequence become visible out of order, so a follower goes by the transaction:
-- what it has not seen is of a transaction that had not ended when it last looked.
CREATE TABLE revocations (
  seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid      bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
  status   bigint,
  kid      text,
  until_at bigint NOT NULL,
  CHECK ((status IS NULL) <> (kid IS NULL))
);

CREATE INDEX revocations_xid ON revocations (xid);
CREATE INDEX revocations_until ON revocations (until_at);

CREATE TABLE throttles (
  bucket        bytea  PRIMARY KEY,
  tries         bigint NOT NULL,
  counted_at    bigint NOT NULL,
  blocked_until bigint NOT NULL,
  forgotten_at  bigint NOT NULL, -- from here on the row says nothing that its absence does not
  sweep_at      bigint NOT NULL  -- when the sweeper next looks at the row
) WITH (fillfactor = 75);

CREATE INDEX throttles_sweep ON throttles (sweep_at);

CREATE TABLE signing_keys (
  kid          text   COLLATE "C" PRIMARY KEY,
  algorithm    text   NOT NULL,
  sealed       bytea  NOT NULL,
  published_at bigint NOT NULL,
  signs_at     bigint,
  gone_at      bigint
);

CREATE TABLE settings (
  name  text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);

-- No foreign keys: what happened stays told when the user is gone.
CREATE TABLE audit (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at         bigint NOT NULL,
  action     text   NOT NULL,
  actor      text   NOT NULL,
  actor_id   uuid,
  user_id    uuid,
  session_id uuid,
  address    text   NOT NULL,
  detail     text   NOT NULL,
  xid        xid8   NOT NULL DEFAULT pg_current_xact_id() -- as in the revocation log: for who follows
);

CREATE INDEX audit_xid ON audit (xid);
CREATE INDEX audit_user ON audit (user_id, id) WHERE user_id IS NOT NULL;

-- What a change was decided on holds no more: this fails, and with it the transaction, so that COMMIT can be sent
-- along with the question.
CREATE FUNCTION jotgate_expect(holds boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF holds IS NOT TRUE THEN
    RAISE EXCEPTION 'the row changed meanwhile' USING ERRCODE = 'JG001';
  END IF;
END
$$;
