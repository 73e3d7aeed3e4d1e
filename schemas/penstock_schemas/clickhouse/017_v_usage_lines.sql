CREATE OR REPLACE VIEW v_usage_lines AS
SELECT
    tenant_id, period, occurred_at, line_id, usage_id, execution_id, epoch, call_seq, user_id, agent_type, model,
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, price_version,
    usage_topic, usage_partition, usage_offset
FROM ledger FINAL;

ALTER TABLE v_usage_lines MODIFY COMMENT 'Every line of every bill, with the price version and where its usage was reported';

CREATE OR REPLACE VIEW v_usage_quarantined AS
SELECT
    tenant_id, period, occurred_at, event_id, usage_id, execution_id, epoch, call_seq, user_id, agent_type, model,
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, reason, detail,
    usage_topic, usage_partition, usage_offset
FROM usage_quarantine FINAL;

ALTER TABLE v_usage_quarantined MODIFY COMMENT 'Usage that could not be charged when it came, with the reason';
