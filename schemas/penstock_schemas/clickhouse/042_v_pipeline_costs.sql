-- A resumption runs a stage again as another execution: each run is a row of its own.
CREATE OR REPLACE VIEW v_pipeline_costs AS
SELECT
    s.tenant_id AS tenant_id,
    s.user_id AS user_id,
    s.pipeline_id AS pipeline_id,
    s.stage_index AS stage_index,
    s.stage_name AS stage_name,
    s.epoch AS epoch,
    s.execution_id AS execution_id,
    l.period AS period,
    l.model AS model,
    l.calls AS calls,
    l.tokens AS tokens,
    l.cost_nanousd AS cost_nanousd
FROM
(
    SELECT DISTINCT tenant_id, user_id, pipeline_id, stage_index, stage_name, epoch, execution_id
    FROM pipelines_events
    WHERE record_type = 'StageStarted'
) AS s
INNER JOIN
(
    SELECT
        tenant_id,
        execution_id,
        period,
        model,
        countIf(record_type = 'UsageCharged') AS calls,
        sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens) AS tokens,
        sum(cost_nanousd) AS cost_nanousd
    FROM ledger FINAL
    WHERE execution_id != ''
    GROUP BY tenant_id, execution_id, period, model
) AS l ON l.tenant_id = s.tenant_id AND l.execution_id = s.execution_id;

ALTER TABLE v_pipeline_costs MODIFY COMMENT 'What each run of each stage of each pipeline was charged, by month and model';
