-- One row per record of penstock.dead-letters.v1: what could not be used, where it was and why.
CREATE TABLE IF NOT EXISTS dead_letters
(
    event_id String COMMENT 'Derived from who gave up and where the record lies',
    tenant_id LowCardinality(String) COMMENT '_penstock where the record''s tenant is unknown',
    occurred_at DateTime64(6, 'UTC'),
    source_topic LowCardinality(String),
    source_partition Int32,
    source_offset Int64,
    source_timestamp DateTime64(6, 'UTC') COMMENT 'Kafka''s timestamp of the record',
    key Nullable(String) COMMENT 'Bytes',
    value Nullable(String) CODEC(ZSTD(3)) COMMENT 'Bytes, the first 64 KiB',
    value_size Int64 COMMENT 'Bytes of the whole value',
    headers Map(String, String),
    error_code LowCardinality(String),
    error_message String,
    stage LowCardinality(String) COMMENT 'Who gave up on it',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64,
    kafka_timestamp DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (source_topic, source_partition, source_offset, event_id)
COMMENT 'Records that were given up on; see v_dead_letters';
