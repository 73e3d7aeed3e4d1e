-- One row per record of penstock.executions.events.v1. Fields that a record type does not have are empty.
CREATE TABLE IF NOT EXISTS executions_events
(
    tenant_id LowCardinality(String),
    execution_id String COMMENT 'hash(tenant_id, request_id)',
    event_id String COMMENT 'Identity of the event; derived, so a replay has the same one',
    record_type LowCardinality(String) COMMENT 'ExecutionAdmitted, AttemptStarted, ExecutionCompleted, …',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    request_id String COMMENT 'The caller''s own id of its request',
    user_id Nullable(String),
    agent_type LowCardinality(String),
    model LowCardinality(Nullable(String)),
    queue LowCardinality(String),
    tier LowCardinality(String),
    timeout_s Int32 COMMENT 'Run deadline, from AttemptStarted',
    max_attempts Int32,
    position Int64 COMMENT 'Place in the tenant''s queue (ExecutionQueued)',
    reason String COMMENT 'Machine-readable reason of a rejection, refusal or loss; of a cancellation its author''s words',
    detail String,
    refused_event_id String COMMENT 'event_id of the request that RequestRefused or CancelRefused answers',
    epoch Int32 COMMENT 'Attempt number from 1, the fencing token; 0 where no attempt is meant',
    current_epoch Int32 COMMENT 'The attempt that counted when a stale one reported',
    worker_id String,
    deadline_at DateTime64(6, 'UTC'),
    retry_at DateTime64(6, 'UTC'),
    status LowCardinality(String) COMMENT 'What a stale attempt reported',
    error_type LowCardinality(String),
    error_message String,
    attempts Int32 COMMENT 'Attempts started, in a terminal event',
    last_seq Int64 COMMENT 'seq of the accepted attempt''s last progress record, in a terminal event',
    output Nullable(String) CODEC(ZSTD(3)),
    output_ref_sha256 Nullable(String) COMMENT 'An output above 32 KiB is in the artifact store',
    output_ref_size Nullable(Int64) COMMENT 'Bytes',
    output_ref_uri Nullable(String),
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD) COMMENT 'When the broker appended it',
    INDEX execution execution_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(kafka_timestamp)
ORDER BY (tenant_id, execution_id, event_id)
COMMENT 'The life of every execution, event by event; v_executions has its current state';
