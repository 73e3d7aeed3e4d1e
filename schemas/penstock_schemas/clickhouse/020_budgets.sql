ALTER TABLE accounts_events
    ADD COLUMN IF NOT EXISTS user_id Nullable(String) COMMENT 'Whose budget; null for the tenant''s own' AFTER suspended,
    ADD COLUMN IF NOT EXISTS monthly_tokens Nullable(Int64) COMMENT 'Limit of a month, tokens of all kinds; null is without limit' AFTER user_id,
    ADD COLUMN IF NOT EXISTS monthly_nanousd Nullable(Int64) COMMENT 'Limit of a month, nano-USD; null is without limit' AFTER monthly_tokens,
    ADD COLUMN IF NOT EXISTS hard_budget Bool COMMENT 'What does not fit is refused' AFTER monthly_nanousd,
    ADD COLUMN IF NOT EXISTS asked_event_id String COMMENT 'BudgetChecked: event_id of the CheckBudget' AFTER hard_budget,
    ADD COLUMN IF NOT EXISTS admitted Bool AFTER asked_event_id,
    ADD COLUMN IF NOT EXISTS reason LowCardinality(String) AFTER admitted,
    ADD COLUMN IF NOT EXISTS detail String AFTER reason,
    ADD COLUMN IF NOT EXISTS tokens_left Nullable(Int64) AFTER detail,
    ADD COLUMN IF NOT EXISTS nanousd_left Nullable(Int64) AFTER tokens_left,
    ADD COLUMN IF NOT EXISTS resets_at DateTime64(6, 'UTC') AFTER nanousd_left,
    ADD COLUMN IF NOT EXISTS period LowCardinality(String) COMMENT 'Accounting month, YYYY-MM, UTC' AFTER resets_at,
    ADD COLUMN IF NOT EXISTS unit LowCardinality(String) COMMENT 'BudgetThresholdReached: tokens or nanousd' AFTER period,
    ADD COLUMN IF NOT EXISTS percent Int32 COMMENT '50, 80 or 100' AFTER unit,
    ADD COLUMN IF NOT EXISTS spent Int64 AFTER percent,
    ADD COLUMN IF NOT EXISTS budget Int64 AFTER spent,
    ADD COLUMN IF NOT EXISTS usage_id String COMMENT 'UsageUnresolved: the call that was never reported' AFTER budget,
    ADD COLUMN IF NOT EXISTS execution_id String AFTER usage_id,
    ADD COLUMN IF NOT EXISTS epoch Int32 AFTER execution_id,
    ADD COLUMN IF NOT EXISTS call_seq Int32 AFTER epoch,
    ADD COLUMN IF NOT EXISTS agent_type LowCardinality(String) AFTER call_seq,
    ADD COLUMN IF NOT EXISTS model LowCardinality(String) AFTER agent_type,
    ADD COLUMN IF NOT EXISTS cap_tokens Int64 COMMENT 'The most the call may have used' AFTER model,
    ADD COLUMN IF NOT EXISTS reserved_tokens Int64 COMMENT 'What stays reserved for it' AFTER cap_tokens,
    ADD COLUMN IF NOT EXISTS reserved_nanousd Int64 AFTER reserved_tokens,
    ADD COLUMN IF NOT EXISTS wasted_tokens Int64 COMMENT 'SpendWasted: spent by attempts whose result was not accepted' AFTER reserved_nanousd,
    ADD COLUMN IF NOT EXISTS wasted_nanousd Int64 COMMENT 'SpendWasted: on the bill already, not on top of it' AFTER wasted_tokens;

ALTER TABLE ledger ADD COLUMN IF NOT EXISTS wasted Bool COMMENT 'Reported after its execution ended with another result, or none' AFTER sandbox_gb_ms;

CREATE OR REPLACE VIEW v_tenants AS
SELECT
    tenant_id,
    argMax(tier, kafka_offset) AS tier,
    argMax(concurrency, kafka_offset) AS concurrency,
    argMax(queue_limit, kafka_offset) AS queue_limit,
    argMax(suspended, kafka_offset) AS suspended,
    argMax(tuple(monthly_tokens), kafka_offset).1 AS monthly_tokens,
    argMax(tuple(monthly_nanousd), kafka_offset).1 AS monthly_nanousd,
    argMax(hard_budget, kafka_offset) AS hard_budget,
    max(occurred_at) AS configured_at
FROM accounts_events
WHERE record_type = 'TenantConfigured'
GROUP BY tenant_id;

ALTER TABLE v_tenants MODIFY COMMENT 'The limits in force for every tenant that was configured';

CREATE OR REPLACE VIEW v_users AS
SELECT
    tenant_id,
    assumeNotNull(user_id) AS user,
    argMax(tuple(monthly_tokens), kafka_offset).1 AS monthly_tokens,
    argMax(tuple(monthly_nanousd), kafka_offset).1 AS monthly_nanousd,
    argMax(hard_budget, kafka_offset) AS hard_budget,
    max(occurred_at) AS configured_at
FROM accounts_events
WHERE record_type = 'UserConfigured'
GROUP BY tenant_id, user;

ALTER TABLE v_users MODIFY COMMENT 'The budgets in force for every user that was given one';

CREATE OR REPLACE VIEW v_usage_unresolved AS
SELECT
    tenant_id, occurred_at, usage_id, execution_id, epoch, call_seq, user_id, agent_type, model, cap_tokens,
    reserved_tokens, reserved_nanousd
FROM accounts_events FINAL
WHERE record_type = 'UsageUnresolved'
    AND (tenant_id, usage_id) NOT IN (SELECT tenant_id, usage_id FROM ledger)
    AND (tenant_id, usage_id) NOT IN (SELECT tenant_id, usage_id FROM usage_quarantine);

ALTER TABLE v_usage_unresolved MODIFY COMMENT 'Provider calls that were started and never reported; what they may have cost is still reserved';

CREATE OR REPLACE VIEW v_spend_wasted AS
SELECT tenant_id, period, execution_id, user_id, agent_type, sum(w.tokens) AS tokens, sum(w.cost_nanousd) AS cost_nanousd
FROM
(
    SELECT
        tenant_id, period, execution_id, user_id, agent_type, wasted_tokens AS tokens, wasted_nanousd AS cost_nanousd
    FROM accounts_events FINAL
    WHERE record_type = 'SpendWasted'
    UNION ALL
    SELECT
        tenant_id, period, execution_id, user_id, ifNull(agent_type, '') AS agent_type,
        input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nanousd
    FROM ledger FINAL
    WHERE wasted
) AS w
GROUP BY tenant_id, period, execution_id, user_id, agent_type;

ALTER TABLE v_spend_wasted MODIFY COMMENT 'What attempts cost whose result was not accepted; part of the bill, not on top of it';

CREATE OR REPLACE VIEW v_usage_lines AS
SELECT
    tenant_id, period, occurred_at, line_id, usage_id, execution_id, epoch, call_seq, user_id, agent_type, model,
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, tool_calls, sandbox_cpu_ms,
    sandbox_gb_ms, cost_nanousd, price_version, wasted, usage_topic, usage_partition, usage_offset
FROM ledger FINAL;

ALTER TABLE v_usage_lines MODIFY COMMENT 'Every line of every bill, with the price version and where its usage was reported';

CREATE OR REPLACE VIEW v_usage_quarantined AS
SELECT
    tenant_id, period, occurred_at, event_id, usage_id, execution_id, epoch, call_seq, user_id, agent_type, model,
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, tool_calls, sandbox_cpu_ms,
    sandbox_gb_ms, reason, detail, usage_topic, usage_partition, usage_offset
FROM usage_quarantine FINAL
WHERE (tenant_id, usage_id) NOT IN (SELECT tenant_id, usage_id FROM ledger);

ALTER TABLE v_usage_quarantined MODIFY COMMENT 'Usage that is not charged, with the reason';
