CREATE OR REPLACE VIEW v_bill AS
SELECT
    tenant_id,
    period,
    model,
    count() AS calls,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_nanousd) AS cost_nanousd
FROM ledger FINAL
GROUP BY tenant_id, period, model;

ALTER TABLE v_bill MODIFY COMMENT 'The bill: what each model cost a tenant in an accounting month, in nano-USD';

CREATE OR REPLACE VIEW v_unbilled AS
SELECT tenant_id, period, model, reason, uniqExact(usage_id) AS calls
FROM usage_quarantine
GROUP BY tenant_id, period, model, reason;

ALTER TABLE v_unbilled MODIFY COMMENT 'Calls that are on no bill yet, by the reason';
