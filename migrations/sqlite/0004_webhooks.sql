-- Messages for webhooks, from when they were read out of the audit trail until they were taken; those that nobody took
-- stay as dead letters for a while.
CREATE TABLE webhook_deliveries (
  id      TEXT    PRIMARY KEY,
  webhook TEXT    NOT NULL,
  kind    TEXT    NOT NULL,
  body    TEXT    NOT NULL,
  tries   INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  dead_at INTEGER,
  problem TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_at) WHERE dead_at IS NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (dead_at, webhook) WHERE dead_at IS NOT NULL;
