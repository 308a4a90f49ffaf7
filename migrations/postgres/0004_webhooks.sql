-- Messages for webhooks, from when they were read out of the audit trail until they were taken; those that nobody took
-- stay as dead letters for a while.
CREATE TABLE webhook_deliveries (
  id      text COLLATE "C" PRIMARY KEY,
  webhook text   NOT NULL,
  kind    text   NOT NULL,
  body    text   NOT NULL,
  tries   bigint NOT NULL,
  next_at bigint NOT NULL,
  dead_at bigint,
  problem text   NOT NULL
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_at) WHERE dead_at IS NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (dead_at, webhook) WHERE dead_at IS NOT NULL;
