CREATE OR REPLACE VIEW v_bill_pipelines AS
SELECT
    tenant_id,
    period,
    pipeline_id,
    countIf(record_type = 'UsageCharged') AS calls,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_nanousd) AS cost_nanousd
FROM ledger FINAL
WHERE pipeline_id IS NOT NULL
GROUP BY tenant_id, period, pipeline_id;

ALTER TABLE v_bill_pipelines MODIFY COMMENT 'What each pipeline cost a tenant in an accounting month, in nano-USD; part of v_bill';

CREATE OR REPLACE VIEW v_bill_conversations AS
SELECT
    tenant_id,
    period,
    conversation_id,
    countIf(record_type = 'UsageCharged') AS calls,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_nanousd) AS cost_nanousd
FROM ledger FINAL
WHERE conversation_id IS NOT NULL
GROUP BY tenant_id, period, conversation_id;

ALTER TABLE v_bill_conversations MODIFY COMMENT 'What each conversation cost a tenant in an accounting month, in nano-USD; part of v_bill';

CREATE OR REPLACE VIEW v_usage_lines AS
SELECT
    tenant_id, period, adjusts_period, occurred_at, line_id, record_type, usage_id, execution_id, epoch, call_seq,
    user_id, agent_type, pipeline_id, conversation_id, model, input_tokens, cache_read_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, tool_calls, sandbox_cpu_ms, sandbox_gb_ms, cost_nanousd, price_version, wasted,
    corrected_by, reason, usage_topic, usage_partition, usage_offset
FROM ledger FINAL;

ALTER TABLE v_usage_lines MODIFY COMMENT 'Every line of every bill: charges and corrections, with the price version and where they were reported';

CREATE OR REPLACE VIEW v_usage_quarantined AS
SELECT
    tenant_id, period, occurred_at, event_id, usage_id, execution_id, epoch, call_seq, user_id, agent_type,
    pipeline_id, conversation_id, model, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens,
    reasoning_tokens, tool_calls, sandbox_cpu_ms, sandbox_gb_ms, reason, detail, usage_topic, usage_partition,
    usage_offset
FROM usage_quarantine FINAL
WHERE (tenant_id, usage_id) NOT IN (
    SELECT tenant_id, usage_id FROM ledger WHERE (tenant_id, usage_id) IN (SELECT tenant_id, usage_id FROM usage_quarantine)
);

ALTER TABLE v_usage_quarantined MODIFY COMMENT 'Usage that is not charged, with the reason';

CREATE OR REPLACE VIEW v_usage_unresolved AS
SELECT
    tenant_id, occurred_at, usage_id, execution_id, epoch, call_seq, user_id, agent_type, pipeline_id,
    conversation_id, model, cap_tokens, reserved_tokens, reserved_nanousd
FROM accounts_events FINAL
WHERE record_type = 'UsageUnresolved'
    AND (tenant_id, usage_id) NOT IN (
        SELECT tenant_id, usage_id FROM ledger WHERE (tenant_id, usage_id) IN (
            SELECT tenant_id, usage_id FROM accounts_events WHERE record_type = 'UsageUnresolved'
        )
    )
    AND (tenant_id, usage_id) NOT IN (SELECT tenant_id, usage_id FROM usage_quarantine);

ALTER TABLE v_usage_unresolved MODIFY COMMENT 'Provider calls that were started and never reported; what they may have cost is still reserved';

CREATE OR REPLACE VIEW v_spend_wasted AS
SELECT
    tenant_id, period, execution_id, user_id, agent_type, pipeline_id, conversation_id, sum(w.tokens) AS tokens,
    sum(w.cost_nanousd) AS cost_nanousd
FROM
(
    SELECT
        tenant_id, period, execution_id, user_id, agent_type, pipeline_id, conversation_id, wasted_tokens AS tokens,
        wasted_nanousd AS cost_nanousd
    FROM accounts_events FINAL
    WHERE record_type = 'SpendWasted'
    UNION ALL
    SELECT
        tenant_id, period, execution_id, user_id, ifNull(agent_type, '') AS agent_type, pipeline_id, conversation_id,
        input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nanousd
    FROM ledger FINAL
    WHERE wasted
) AS w
GROUP BY tenant_id, period, execution_id, user_id, agent_type, pipeline_id, conversation_id;

ALTER TABLE v_spend_wasted MODIFY COMMENT 'What attempts cost whose result was not accepted; part of the bill, not on top of it';
