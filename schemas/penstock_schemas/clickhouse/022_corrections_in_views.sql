-- A correction is a line and not a call: calls are counted by record type, and sums stay plain sums.
CREATE OR REPLACE VIEW v_bill AS
SELECT
    tenant_id,
    period,
    model,
    countIf(record_type = 'UsageCharged') AS calls,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_nanousd) AS cost_nanousd
FROM ledger FINAL
GROUP BY tenant_id, period, model;

ALTER TABLE v_bill MODIFY COMMENT 'The bill: what each model cost a tenant in an accounting month, in nano-USD';

CREATE OR REPLACE VIEW v_spend_daily AS
SELECT
    tenant_id,
    period,
    toDate(occurred_at) AS day,
    user_id,
    agent_type,
    model,
    countIf(record_type = 'UsageCharged') AS calls,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_nanousd) AS cost_nanousd
FROM ledger FINAL
GROUP BY tenant_id, period, day, user_id, agent_type, model;

ALTER TABLE v_spend_daily MODIFY COMMENT 'Charged calls, tokens and cost by tenant, day of the call, user, agent and model';

CREATE OR REPLACE VIEW v_usage_lines AS
SELECT
    tenant_id, period, adjusts_period, occurred_at, line_id, record_type, usage_id, execution_id, epoch, call_seq,
    user_id, agent_type, model, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    tool_calls, sandbox_cpu_ms, sandbox_gb_ms, cost_nanousd, price_version, wasted, corrected_by, reason, usage_topic,
    usage_partition, usage_offset
FROM ledger FINAL;

ALTER TABLE v_usage_lines MODIFY COMMENT 'Every line of every bill: charges and corrections, with the price version and where they were reported';

CREATE OR REPLACE VIEW v_adjustments AS
SELECT
    tenant_id,
    period,
    ifNull(adjusts_period, period) AS month,
    countIf(record_type = 'UsageCharged') AS late_calls,
    countIf(record_type = 'ChargeAdjusted') AS corrections,
    sum(cost_nanousd) AS cost_nanousd
FROM ledger FINAL
WHERE record_type = 'ChargeAdjusted' OR adjusts_period IS NOT NULL
GROUP BY tenant_id, period, month;

ALTER TABLE v_adjustments MODIFY COMMENT 'What late calls and corrections changed on a bill, by the month of the calls';

DROP VIEW IF EXISTS spend_hourly_refresh;

CREATE MATERIALIZED VIEW IF NOT EXISTS spend_hourly_refresh
REFRESH EVERY 1 MINUTE TO spend_hourly AS
SELECT
    tenant_id,
    period,
    toStartOfHour(toDateTime(occurred_at, 'UTC')) AS hour,
    model,
    ifNull(agent_type, '') AS agent_type,
    countIf(record_type = 'UsageCharged') AS calls,
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
