-- Progress of a lost attempt says what that one kept: only the attempt whose result was accepted counts, and of a path
-- that was kept twice the last. A repeat of a progress record is the same row, so no FINAL is needed. What a run of a
-- conversation that was deleted kept is not shown.
CREATE OR REPLACE VIEW v_artifacts AS
SELECT
    e.tenant_id AS tenant_id,
    e.execution_id AS execution_id,
    e.user_id AS user_id,
    e.agent_type AS agent_type,
    e.pipeline_id AS pipeline_id,
    e.stage_index AS stage_index,
    k.path AS path,
    k.size_bytes AS size_bytes,
    k.sha256 AS sha256,
    k.kept_at AS kept_at
FROM
(
    SELECT
        tenant_id,
        execution_id,
        any(epoch) AS epoch,
        any(user_id) AS user_id,
        any(agent_type) AS agent_type,
        any(pipeline_id) AS pipeline_id,
        any(stage_index) AS stage_index
    FROM executions_events
    WHERE record_type = 'ExecutionCompleted' AND artifacts > 0 AND ifNull(conversation_id, '') NOT IN
    (
        SELECT conversation_id FROM conversations_events WHERE record_type = 'ConversationDeleted'
    )
    GROUP BY tenant_id, execution_id
) AS e
INNER JOIN
(
    SELECT
        tenant_id,
        execution_id,
        epoch,
        path,
        argMax(p.size_bytes, seq) AS size_bytes,
        argMax(p.sha256, seq) AS sha256,
        max(occurred_at) AS kept_at
    FROM executions_progress AS p
    WHERE record_type = 'ArtifactKept'
    GROUP BY tenant_id, execution_id, epoch, path
) AS k ON k.tenant_id = e.tenant_id AND k.execution_id = e.execution_id AND k.epoch = e.epoch;

ALTER TABLE v_artifacts MODIFY COMMENT 'Every file that an accepted attempt kept in the artifact store';

-- The events of one execution lie on one partition in causal order, so the greatest offset has the current state.
-- Reports of stale attempts, refused repeats of a request and refused cancellations change nothing and are left out.
-- What an execution answered in a conversation that was deleted is not shown.
CREATE OR REPLACE VIEW v_executions AS
SELECT
    e.tenant_id AS tenant_id,
    e.execution_id AS execution_id,
    e.status AS status,
    e.request_id AS request_id,
    e.user_id AS user_id,
    e.agent_type AS agent_type,
    e.conversation_id AS conversation_id,
    e.turn_number AS turn_number,
    e.pipeline_id AS pipeline_id,
    e.stage_index AS stage_index,
    e.model AS model,
    e.queue AS queue,
    e.attempts AS attempts,
    e.worker_id AS worker_id,
    if(e.conversation_id IN
    (
        SELECT toNullable(conversation_id) FROM conversations_events WHERE record_type = 'ConversationDeleted'
    ), NULL, e.output) AS output,
    e.output_ref_sha256 AS output_ref_sha256,
    e.output_ref_size AS output_ref_size,
    e.output_ref_uri AS output_ref_uri,
    e.artifacts AS artifacts,
    e.artifacts_ref_sha256 AS artifacts_ref_sha256,
    e.artifacts_ref_size AS artifacts_ref_size,
    e.artifacts_ref_uri AS artifacts_ref_uri,
    e.error_type AS error_type,
    e.error_message AS error_message,
    e.reason AS reason,
    e.requested_at AS requested_at,
    e.started_at AS started_at,
    e.finished_at AS finished_at,
    ifNull(c.cost_nanousd, 0) AS cost_nanousd
FROM
(
    SELECT
        tenant_id,
        execution_id,
        argMax(transform(record_type,
            ['ExecutionQueued', 'ExecutionAdmitted', 'ExecutionRejected', 'AttemptStarted', 'AttemptLost',
             'AttemptFailed', 'ExecutionCompleted', 'ExecutionFailed', 'ExecutionTimedOut', 'ExecutionCancelled'],
            ['queued', 'admitted', 'rejected', 'running', 'admitted',
             'admitted', 'completed', 'failed', 'timed_out', 'cancelled'], 'unknown'), kafka_offset) AS status,
        any(nullIf(request_id, '')) AS request_id,
        any(user_id) AS user_id,
        any(nullIf(agent_type, '')) AS agent_type,
        any(conversation_id) AS conversation_id,
        any(turn_number) AS turn_number,
        any(pipeline_id) AS pipeline_id,
        any(stage_index) AS stage_index,
        any(model) AS model,
        any(nullIf(queue, '')) AS queue,
        max(if(record_type = 'AttemptStarted', epoch, attempts)) AS attempts,
        nullIf(argMaxIf(worker_id, kafka_offset, record_type = 'AttemptStarted'), '') AS worker_id,
        any(output) AS output,
        any(output_ref_sha256) AS output_ref_sha256,
        any(output_ref_size) AS output_ref_size,
        any(output_ref_uri) AS output_ref_uri,
        max(artifacts) AS artifacts,
        any(artifacts_ref_sha256) AS artifacts_ref_sha256,
        any(artifacts_ref_size) AS artifacts_ref_size,
        any(artifacts_ref_uri) AS artifacts_ref_uri,
        nullIf(anyIf(if(record_type = 'ExecutionTimedOut', 'timed_out', error_type),
            record_type IN ('ExecutionFailed', 'ExecutionTimedOut')), '') AS error_type,
        nullIf(anyIf(multiIf(record_type = 'ExecutionTimedOut', format('run deadline of {} s passed', toString(timeout_s)),
            record_type = 'ExecutionRejected', detail, error_message),
            record_type IN ('ExecutionFailed', 'ExecutionTimedOut', 'ExecutionRejected')), '') AS error_message,
        nullIf(anyIf(reason, record_type IN ('ExecutionRejected', 'ExecutionCancelled')), '') AS reason,
        min(occurred_at) AS requested_at,
        nullIf(maxIf(occurred_at, record_type = 'AttemptStarted'), toDateTime64(0, 6, 'UTC')) AS started_at,
        nullIf(maxIf(occurred_at, record_type IN ('ExecutionCompleted', 'ExecutionFailed', 'ExecutionTimedOut',
            'ExecutionCancelled', 'ExecutionRejected')), toDateTime64(0, 6, 'UTC')) AS finished_at
    FROM executions_events
    WHERE record_type NOT IN ('StaleAttemptReported', 'RequestRefused', 'CancelRefused')
    GROUP BY tenant_id, execution_id
) AS e
LEFT JOIN
(
    SELECT tenant_id, execution_id, sum(cost_nanousd) AS cost_nanousd
    FROM ledger FINAL
    WHERE execution_id != ''
    GROUP BY tenant_id, execution_id
) AS c ON c.tenant_id = e.tenant_id AND c.execution_id = e.execution_id;

ALTER TABLE v_executions MODIFY COMMENT 'Current state of every execution, with what it has cost so far';
