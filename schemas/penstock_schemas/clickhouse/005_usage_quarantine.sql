-- One row per UsageQuarantined of penstock.accounts.events.v1: usage that is on no bill until it is settled.
CREATE TABLE IF NOT EXISTS usage_quarantine
(
    tenant_id LowCardinality(String),
    event_id String,
    usage_id String,
    period LowCardinality(String) COMMENT 'The month it would be billed in, YYYY-MM',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    execution_id String COMMENT 'Empty for usage of outside services',
    epoch Nullable(Int32),
    call_seq Nullable(Int32),
    user_id Nullable(String),
    agent_type LowCardinality(Nullable(String)),
    model String COMMENT 'As reported; perhaps one that has no price',
    input_tokens Int64,
    cache_read_tokens Int64,
    cache_write_tokens Int64,
    output_tokens Int64,
    reasoning_tokens Int64,
    reason LowCardinality(String) COMMENT 'unknown_model, invalid_usage, too_old, …',
    detail String,
    usage_topic LowCardinality(String),
    usage_partition Int32,
    usage_offset Int64,
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64,
    kafka_timestamp DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY period
ORDER BY (tenant_id, event_id)
COMMENT 'Usage that could not be charged, with the reason';
