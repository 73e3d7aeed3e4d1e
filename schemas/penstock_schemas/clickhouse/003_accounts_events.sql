-- What penstock.accounts.events.v1 says about tenants; its charges are in `ledger`, the rest of its usage in
-- `usage_quarantine`.
CREATE TABLE IF NOT EXISTS accounts_events
(
    tenant_id LowCardinality(String),
    event_id String,
    record_type LowCardinality(String) COMMENT 'TenantConfigured',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    tier LowCardinality(String),
    concurrency Int32 COMMENT 'Executions admitted at once',
    queue_limit Int32 COMMENT 'Executions that may wait',
    suspended Bool,
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, event_id)
COMMENT 'Events about tenants; v_tenants has the limits in force';
