-- One row per record of penstock.pipelines.events.v1. A pipeline's events lie on one partition in causal order.
CREATE TABLE IF NOT EXISTS pipelines_events
(
    tenant_id LowCardinality(String),
    user_id Nullable(String) COMMENT 'Whose pipeline; null is the tenant''s own',
    pipeline_id String COMMENT 'hash(tenant_id, request_id)',
    event_id String COMMENT 'Identity of the event; derived, so a replay has the same one',
    record_type LowCardinality(String) COMMENT 'PipelineStarted, StageStarted, StageCompleted, PipelineCompleted, …',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    epoch Int32 COMMENT '1, and one more with each resumption; 0 for PipelineRequestRefused',
    request_id String COMMENT 'PipelineStarted: the caller''s own id',
    name Nullable(String) COMMENT 'PipelineStarted: name of the pipeline',
    stages Int32 COMMENT 'PipelineStarted: how many stages it has',
    steps Int32 COMMENT 'PipelineStarted: how many steps it has',
    metadata Map(String, String) COMMENT 'PipelineStarted: the caller''s own labels',
    stage_index Int32 COMMENT 'From 0, in the order of the definition; of PipelineFailed, the stage that failed',
    stage_name String,
    step Int32 COMMENT 'Place of the stage''s step in the sequence, from 0; PipelineResumed: the step that is run again',
    agent_type LowCardinality(String),
    execution_id String COMMENT 'The execution of the stage',
    output Nullable(String) CODEC(ZSTD(3)) COMMENT 'StageCompleted, PipelineCompleted: the result, up to 4 KiB',
    output_ref_sha256 Nullable(String) COMMENT 'A result above 4 KiB is in the artifact store',
    output_ref_size Nullable(Int64) COMMENT 'Bytes',
    output_ref_uri Nullable(String),
    used_tokens Nullable(Int64) COMMENT 'Tokens of all kinds of the stage; null where the worker did not say',
    status LowCardinality(String) COMMENT 'StageFailed: failed, timed_out, cancelled or rejected',
    error_type LowCardinality(String),
    error_message String COMMENT 'StageFailed',
    failed_at_stage String COMMENT 'PipelineFailed: name of the first stage that failed',
    error String COMMENT 'PipelineFailed: what went wrong',
    refused_event_id String COMMENT 'event_id of what PipelineRequestRefused answers',
    reason String COMMENT 'PipelineCancelled: why; PipelineRequestRefused: machine-readable reason',
    detail String COMMENT 'PipelineRequestRefused: what is wrong and what to do',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD) COMMENT 'When the broker appended it',
    INDEX execution execution_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(kafka_timestamp)
ORDER BY (tenant_id, pipeline_id, event_id)
COMMENT 'The life of every pipeline and of its stages, event by event';

ALTER TABLE executions_events
    ADD COLUMN IF NOT EXISTS pipeline_id Nullable(String) COMMENT 'The pipeline whose stage it is' AFTER turn_number,
    ADD COLUMN IF NOT EXISTS stage_index Nullable(Int32) COMMENT 'Which stage, from 0' AFTER pipeline_id;
