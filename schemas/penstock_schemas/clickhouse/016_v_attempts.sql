-- An attempt that was lost or failed stays so, whatever ends its execution afterwards under the same epoch.
CREATE OR REPLACE VIEW v_attempts AS
SELECT
    tenant_id,
    execution_id,
    epoch,
    multiIf(
        countIf(record_type = 'AttemptLost') > 0, 'lost',
        countIf(record_type IN ('AttemptFailed', 'ExecutionFailed')) > 0, 'failed',
        countIf(record_type = 'ExecutionCompleted') > 0, 'completed',
        countIf(record_type = 'ExecutionTimedOut') > 0, 'timed_out',
        countIf(record_type = 'ExecutionCancelled') > 0, 'cancelled',
        'running') AS status,
    nullIf(anyIf(worker_id, worker_id != ''), '') AS worker_id,
    nullIf(minIf(occurred_at, record_type = 'AttemptStarted'), toDateTime64(0, 6, 'UTC')) AS started_at,
    nullIf(minIf(occurred_at, record_type NOT IN ('AttemptStarted', 'StaleAttemptReported')),
        toDateTime64(0, 6, 'UTC')) AS ended_at,
    nullIf(anyIf(reason, record_type = 'AttemptLost'), '') AS reason,
    nullIf(anyIf(error_type, error_type != ''), '') AS error_type,
    nullIf(anyIf(error_message, error_message != ''), '') AS error_message,
    nullIf(anyIf(e.status, record_type = 'StaleAttemptReported'), '') AS reported_too_late
FROM executions_events AS e
WHERE epoch > 0
GROUP BY tenant_id, execution_id, epoch;

ALTER TABLE v_attempts MODIFY COMMENT 'Every attempt of every execution: who ran it, from when to when, how it ended';
