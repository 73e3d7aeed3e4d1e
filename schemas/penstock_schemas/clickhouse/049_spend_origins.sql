-- The roll-up for dashboards that show what pipelines and conversations cost in days and weeks. Like spend_hourly it is
-- made anew from the ledger read FINAL and replaced as a whole; of the last 32 days, as executions_hourly is.
CREATE TABLE IF NOT EXISTS spend_origins
(
    tenant_id LowCardinality(String),
    hour DateTime('UTC') COMMENT 'Start of the hour in which the calls were made',
    pipeline_id Nullable(String),
    conversation_id Nullable(String),
    calls UInt64,
    cost_nanousd Int64,
    refreshed_at DateTime('UTC') COMMENT 'When the ledger was read'
)
ENGINE = MergeTree
ORDER BY (tenant_id, hour)
COMMENT 'What pipelines and conversations cost in the last 32 days, by hour; at most ten minutes old';

CREATE MATERIALIZED VIEW IF NOT EXISTS spend_origins_refresh
REFRESH EVERY 10 MINUTE OFFSET 40 SECOND TO spend_origins AS
SELECT
    tenant_id,
    toStartOfHour(toDateTime(occurred_at, 'UTC')) AS hour,
    pipeline_id,
    conversation_id,
    countIf(record_type = 'UsageCharged') AS calls,
    sum(l.cost_nanousd) AS cost_nanousd,
    now('UTC') AS refreshed_at
FROM ledger AS l FINAL
WHERE occurred_at >= now('UTC') - INTERVAL 32 DAY AND (pipeline_id IS NOT NULL OR conversation_id IS NOT NULL)
GROUP BY tenant_id, hour, pipeline_id, conversation_id;

ALTER TABLE spend_origins_refresh MODIFY COMMENT 'Makes spend_origins anew every ten minutes; system.view_refreshes says how it went';
