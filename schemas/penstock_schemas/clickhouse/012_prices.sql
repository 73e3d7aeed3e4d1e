-- One row per PriceListed and PriceRefused of penstock.accounts.events.v1. Every partition answers each ListPrice, so
-- a price has as many rows as there are partitions; v_prices shows it once.
CREATE TABLE IF NOT EXISTS price_events
(
    tenant_id LowCardinality(String) COMMENT '_penstock: the list is the platform operator''s',
    event_id String,
    record_type LowCardinality(String) COMMENT 'PriceListed or PriceRefused',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    partition Int32 COMMENT 'Partition of the accounts topics that decided it',
    list_event_id String COMMENT 'event_id of the ListPrice',
    price_version String COMMENT 'Names the price on ledger lines',
    model String,
    effective_from DateTime64(6, 'UTC') COMMENT 'In force from here on, until a later one is',
    input_nanousd_per_mtok Int64 COMMENT 'Nano-USD per million tokens',
    cache_read_nanousd_per_mtok Int64,
    cache_write_nanousd_per_mtok Int64,
    output_nanousd_per_mtok Int64,
    tool_call_nanousd Int64 COMMENT 'Nano-USD per tool call',
    cpu_second_nanousd Int64 COMMENT 'Nano-USD per second of CPU time in the sandbox',
    gb_second_nanousd Int64 COMMENT 'Nano-USD per gigabyte and second of memory in the sandbox',
    reason LowCardinality(String) COMMENT 'Why it was refused',
    detail String,
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (model, event_id)
COMMENT 'What became of the prices an operator listed, partition by partition';
