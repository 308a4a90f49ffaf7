-- Who a user is at another provider: found by whom vouches and what that one calls them.
CREATE TABLE identities (
  id         uuid   PRIMARY KEY,
  user_id    uuid   NOT NULL REFERENCES users (id),
  issuer     text   COLLATE "C" NOT NULL,
  subject    text   COLLATE "C" NOT NULL,
  provider   text   NOT NULL, -- as it was called in the configuration when this was linked
  label      text   NOT NULL, -- for people
  created_at bigint NOT NULL,
  CONSTRAINT identities_subject UNIQUE (issuer, subject)
);

CREATE INDEX identities_user ON identities (user_id);

-- What may be used once and was, until it would not be accepted any more.
CREATE TABLE spent (
  id       bytea  PRIMARY KEY,
  until_at bigint NOT NULL
);

CREATE INDEX spent_until ON spent (until_at);
