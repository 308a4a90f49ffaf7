-- Tickets that sign somebody in at an application on another root domain, until they are used or a minute old.
-- No foreign key: a ticket whose session has ended is refused, and swept.
CREATE TABLE sso_tickets (
  hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),
  session_id BLOB    NOT NULL CHECK (length(session_id) = 16),
  origin     TEXT    NOT NULL,
  binding    BLOB    NOT NULL CHECK (length(binding) = 32),
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sso_tickets_expires ON sso_tickets (expires_at);
