-- The roll-up for dashboards. It is made anew every minute from the ledger read FINAL, so that no replay can count
-- twice, and replaced as a whole. A month is open until usage can no longer be dated into it: 48 hours after its end.
CREATE TABLE IF NOT EXISTS spend_hourly
(
    tenant_id LowCardinality(String),
    period LowCardinality(String) COMMENT 'Accounting month, YYYY-MM, UTC',
    hour DateTime('UTC') COMMENT 'Start of the hour in which the calls were made',
    model LowCardinality(String),
    agent_type LowCardinality(String) COMMENT 'Empty for usage of outside services',
    calls UInt64,
    input_tokens Int64,
    cache_read_tokens Int64,
    cache_write_tokens Int64,
    output_tokens Int64,
    reasoning_tokens Int64,
    cost_nanousd Int64,
    refreshed_at DateTime('UTC') COMMENT 'When the ledger was read'
)
ENGINE = MergeTree
ORDER BY (tenant_id, hour, model, agent_type)
COMMENT 'Spend of the open months by hour; v_spend_hourly reads it';

CREATE MATERIALIZED VIEW IF NOT EXISTS spend_hourly_refresh
REFRESH EVERY 1 MINUTE TO spend_hourly AS
SELECT
    tenant_id,
    period,
    toStartOfHour(toDateTime(occurred_at, 'UTC')) AS hour,
    model,
    ifNull(agent_type, '') AS agent_type,
    count() AS calls,
    sum(l.input_tokens) AS input_tokens,
    sum(l.cache_read_tokens) AS cache_read_tokens,
    sum(l.cache_write_tokens) AS cache_write_tokens,
    sum(l.output_tokens) AS output_tokens,
    sum(l.reasoning_tokens) AS reasoning_tokens,
    sum(l.cost_nanousd) AS cost_nanousd,
    now('UTC') AS refreshed_at
FROM ledger AS l FINAL
WHERE period >= formatDateTime(now('UTC') - INTERVAL 48 HOUR, '%Y-%m')
GROUP BY tenant_id, period, hour, model, agent_type;

ALTER TABLE spend_hourly_refresh MODIFY COMMENT 'Makes spend_hourly anew every minute; system.view_refreshes says how it went';

CREATE OR REPLACE VIEW v_spend_hourly AS
SELECT
    tenant_id, period, hour, model, agent_type, calls, input_tokens, cache_read_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, cost_nanousd, refreshed_at
FROM spend_hourly;

ALTER TABLE v_spend_hourly MODIFY COMMENT 'Spend of the open months by hour, tenant, model and agent; at most a minute old';
