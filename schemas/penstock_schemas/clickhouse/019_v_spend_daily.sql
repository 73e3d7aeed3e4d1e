-- Named after what it answers; v_usage was the same.
DROP VIEW IF EXISTS v_usage;

CREATE OR REPLACE VIEW v_spend_daily AS
SELECT
    tenant_id,
    period,
    toDate(occurred_at) AS day,
    user_id,
    agent_type,
    model,
    count() AS calls,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_nanousd) AS cost_nanousd
FROM ledger FINAL
GROUP BY tenant_id, period, day, user_id, agent_type, model;

ALTER TABLE v_spend_daily MODIFY COMMENT 'Charged calls, tokens and cost by tenant, day, user, agent and model';
