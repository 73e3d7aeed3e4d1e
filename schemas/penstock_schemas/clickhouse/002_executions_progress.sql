-- One row per record of penstock.executions.progress.v1. A worker resends what was not acknowledged, with the same
-- (epoch, seq) at another offset: those are the identity.
CREATE TABLE IF NOT EXISTS executions_progress
(
    tenant_id LowCardinality(String),
    execution_id String,
    epoch Int32 COMMENT 'Attempt number, from 1',
    seq Int64 COMMENT 'Position within the attempt, from 1 without gaps',
    event_id String,
    record_type LowCardinality(String) COMMENT 'ProgressReported, StepStarted, StepFinished, ToolCalled, OutputEmitted',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    message String CODEC(ZSTD(3)),
    fraction Nullable(Float64) COMMENT '0 to 1, where the agent knows it',
    step_number Int32,
    step_type LowCardinality(String),
    name String COMMENT 'Of the step',
    status LowCardinality(String) COMMENT 'Step: ok or error; tool: success or error',
    duration_ms Int64,
    error Nullable(String),
    tool_name LowCardinality(String),
    summary Nullable(String),
    text String CODEC(ZSTD(3)) COMMENT 'A piece of output (OutputEmitted)',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    INDEX execution execution_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(kafka_timestamp)
ORDER BY (tenant_id, execution_id, epoch, seq)
COMMENT 'What runs report while they run, ordered by (epoch, seq)';
