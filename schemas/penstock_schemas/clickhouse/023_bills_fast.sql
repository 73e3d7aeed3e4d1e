-- Whether a call was charged is asked by its usage_id, by which the ledger is not sorted. A bill asks
-- for some hundred at once, so that false hits must be rarer still: 20 bits a line.
ALTER TABLE ledger ADD INDEX IF NOT EXISTS usage usage_id TYPE bloom_filter(0.0001) GRANULARITY 1;

ALTER TABLE ledger MATERIALIZE INDEX usage;

-- Spending by the time of the calls reads the months it is about.
ALTER TABLE ledger ADD INDEX IF NOT EXISTS made occurred_at TYPE minmax GRANULARITY 1;

ALTER TABLE ledger MATERIALIZE INDEX made;

-- Bills are broken down by user; a user has many lines side by side.
ALTER TABLE ledger MODIFY COLUMN user_id LowCardinality(Nullable(String));

CREATE OR REPLACE VIEW v_unbilled AS
SELECT tenant_id, period, model, reason, uniqExact(usage_id) AS calls
FROM usage_quarantine
WHERE (tenant_id, usage_id) NOT IN (
    SELECT tenant_id, usage_id FROM ledger WHERE (tenant_id, usage_id) IN (SELECT tenant_id, usage_id FROM usage_quarantine)
)
GROUP BY tenant_id, period, model, reason;

ALTER TABLE v_unbilled MODIFY COMMENT 'Calls that are on no bill yet, by the reason';

CREATE OR REPLACE VIEW v_usage_quarantined AS
SELECT
    tenant_id, period, occurred_at, event_id, usage_id, execution_id, epoch, call_seq, user_id, agent_type, model,
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, tool_calls, sandbox_cpu_ms,
    sandbox_gb_ms, reason, detail, usage_topic, usage_partition, usage_offset
FROM usage_quarantine FINAL
WHERE (tenant_id, usage_id) NOT IN (
    SELECT tenant_id, usage_id FROM ledger WHERE (tenant_id, usage_id) IN (SELECT tenant_id, usage_id FROM usage_quarantine)
);

ALTER TABLE v_usage_quarantined MODIFY COMMENT 'Usage that is not charged, with the reason';

CREATE OR REPLACE VIEW v_usage_unresolved AS
SELECT
    tenant_id, occurred_at, usage_id, execution_id, epoch, call_seq, user_id, agent_type, model, cap_tokens,
    reserved_tokens, reserved_nanousd
FROM accounts_events FINAL
WHERE record_type = 'UsageUnresolved'
    AND (tenant_id, usage_id) NOT IN (
        SELECT tenant_id, usage_id FROM ledger WHERE (tenant_id, usage_id) IN (
            SELECT tenant_id, usage_id FROM accounts_events WHERE record_type = 'UsageUnresolved'
        )
    )
    AND (tenant_id, usage_id) NOT IN (SELECT tenant_id, usage_id FROM usage_quarantine);

ALTER TABLE v_usage_unresolved MODIFY COMMENT 'Provider calls that were started and never reported; what they may have cost is still reserved';
