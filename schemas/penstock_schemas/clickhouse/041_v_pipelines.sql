-- The events of one pipeline lie on one partition in causal order, so the greatest offset has the current state.
-- A pipeline that was refused never started and is in pipelines_events only. A repeat of an event is the same row, so
-- counting by event_id or by stage needs no FINAL.
CREATE OR REPLACE VIEW v_pipelines AS
SELECT
    tenant_id,
    pipeline_id,
    anyIf(user_id, record_type = 'PipelineStarted') AS user_id,
    anyIf(request_id, record_type = 'PipelineStarted') AS request_id,
    anyIf(name, record_type = 'PipelineStarted') AS name,
    transform(argMaxIf(record_type, kafka_offset, record_type IN ('PipelineStarted', 'PipelineResumed',
        'PipelineCompleted', 'PipelineFailed', 'PipelineCancelled')),
        ['PipelineCompleted', 'PipelineFailed', 'PipelineCancelled'],
        ['completed', 'failed', 'cancelled'], 'running') AS status,
    max(epoch) AS epoch,
    anyIf(stages, record_type = 'PipelineStarted') AS stage_count,
    anyIf(steps, record_type = 'PipelineStarted') AS step_count,
    uniqExactIf(stage_index, record_type = 'StageCompleted') AS completed_stages,
    arraySum(run -> ifNull(run.3, 0), groupUniqArrayIf(tuple(stage_index, execution_id, e.used_tokens),
        record_type IN ('StageCompleted', 'StageFailed'))) AS used_tokens,
    anyIf(metadata, record_type = 'PipelineStarted') AS metadata,
    anyIf(output, record_type = 'PipelineCompleted') AS output,
    anyIf(output_ref_sha256, record_type = 'PipelineCompleted') AS output_ref_sha256,
    anyIf(output_ref_size, record_type = 'PipelineCompleted') AS output_ref_size,
    anyIf(output_ref_uri, record_type = 'PipelineCompleted') AS output_ref_uri,
    if(status = 'failed', argMaxIf(e.failed_at_stage, kafka_offset, record_type = 'PipelineFailed'), NULL) AS failed_at_stage,
    if(status = 'failed', argMaxIf(e.error_type, kafka_offset, record_type = 'PipelineFailed'), NULL) AS error_type,
    if(status = 'failed', argMaxIf(e.error, kafka_offset, record_type = 'PipelineFailed'), NULL) AS error,
    nullIf(anyIf(reason, record_type = 'PipelineCancelled'), '') AS reason,
    minIf(occurred_at, record_type = 'PipelineStarted') AS started_at,
    if(status = 'running', NULL, maxIf(occurred_at,
        record_type IN ('PipelineCompleted', 'PipelineFailed', 'PipelineCancelled'))) AS finished_at
FROM pipelines_events AS e
WHERE record_type != 'PipelineRequestRefused'
GROUP BY tenant_id, pipeline_id
HAVING countIf(record_type = 'PipelineStarted') > 0;

ALTER TABLE v_pipelines MODIFY COMMENT 'Every pipeline that was started, as it is now';

CREATE OR REPLACE VIEW v_pipeline_stages AS
SELECT
    tenant_id,
    pipeline_id,
    stage_index,
    any(stage_name) AS stage_name,
    any(step) AS step,
    any(user_id) AS user_id,
    any(agent_type) AS agent_type,
    max(epoch) AS epoch,
    multiIf(argMax(record_type, kafka_offset) = 'StageCompleted', 'completed',
        argMax(record_type, kafka_offset) = 'StageFailed', argMax(e.status, kafka_offset), 'running') AS status,
    argMax(execution_id, kafka_offset) AS execution_id,
    maxIf(occurred_at, record_type = 'StageStarted') AS started_at,
    if(status = 'running', NULL, argMax(occurred_at, kafka_offset)) AS finished_at,
    if(status = 'running', NULL, dateDiff('millisecond', started_at, argMax(occurred_at, kafka_offset))) AS took_ms,
    anyIf(output, record_type = 'StageCompleted') AS output,
    anyIf(output_ref_sha256, record_type = 'StageCompleted') AS output_ref_sha256,
    anyIf(output_ref_size, record_type = 'StageCompleted') AS output_ref_size,
    anyIf(output_ref_uri, record_type = 'StageCompleted') AS output_ref_uri,
    if(status = 'running', NULL, tupleElement(argMax(tuple(e.used_tokens), kafka_offset), 1)) AS used_tokens,
    if(status IN ('running', 'completed'), NULL, argMax(e.error_type, kafka_offset)) AS error_type,
    if(status IN ('running', 'completed'), NULL, argMax(e.error_message, kafka_offset)) AS error_message
FROM pipelines_events AS e
WHERE record_type IN ('StageStarted', 'StageCompleted', 'StageFailed')
GROUP BY tenant_id, pipeline_id, stage_index;

ALTER TABLE v_pipeline_stages MODIFY COMMENT 'Every stage that was started, as its latest run is now';
