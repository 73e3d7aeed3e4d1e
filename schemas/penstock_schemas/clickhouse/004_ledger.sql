-- One row per UsageCharged of penstock.accounts.events.v1. Sums of money read it FINAL: a replay may hold a line
-- twice until parts merge. A period is one partition, so that closing it can optimize it alone.
CREATE TABLE IF NOT EXISTS ledger
(
    tenant_id LowCardinality(String),
    line_id String COMMENT 'event_id of the charge: the identity of the line',
    usage_id String COMMENT 'The provider call; several lines may name it, a charge and its adjustments',
    period LowCardinality(String) COMMENT 'Accounting month, YYYY-MM, UTC',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD) COMMENT 'When the call was made, as its reporter says',
    execution_id String COMMENT 'Empty for usage of outside services',
    epoch Nullable(Int32),
    call_seq Nullable(Int32),
    user_id Nullable(String),
    agent_type LowCardinality(Nullable(String)),
    model LowCardinality(String),
    input_tokens Int64 CODEC(T64, ZSTD) COMMENT 'Uncached; the buckets are disjoint',
    cache_read_tokens Int64 CODEC(T64, ZSTD),
    cache_write_tokens Int64 CODEC(T64, ZSTD),
    output_tokens Int64 CODEC(T64, ZSTD) COMMENT 'Reasoning included',
    reasoning_tokens Int64 CODEC(T64, ZSTD) COMMENT 'Inside output_tokens',
    cost_nanousd Int64 CODEC(T64, ZSTD) COMMENT 'Nano-USD; rounded half-even once per line',
    price_version LowCardinality(String) COMMENT 'Names the price that was used',
    usage_topic LowCardinality(String) COMMENT 'Where on Kafka the usage was reported',
    usage_partition Int32,
    usage_offset Int64 CODEC(Delta, ZSTD),
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    INDEX execution execution_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY period
ORDER BY (tenant_id, line_id)
COMMENT 'Every charge, one line per provider call; read FINAL, or through v_bill and v_usage';
