-- Tickets that sign somebody in at an application on another root domain, until they are used or a minute old.
-- No foreign key: a ticket whose session has ended is refused, and swept.
CREATE TABLE sso_tickets (
  hash       bytea  PRIMARY KEY CHECK (length(hash) = 32),
  session_id uuid   NOT NULL,
  origin     text   NOT NULL,
  binding    bytea  NOT NULL CHECK (length(binding) = 32),
  expires_at bigint NOT NULL
);

CREATE INDEX sso_tickets_expires ON sso_tickets (expires_at);
