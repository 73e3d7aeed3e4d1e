ALTER TABLE ledger ADD COLUMN IF NOT EXISTS tool_calls Int64 COMMENT 'Tool calls that are paid for one by one' AFTER reasoning_tokens;

ALTER TABLE ledger ADD COLUMN IF NOT EXISTS sandbox_cpu_ms Int64 COMMENT 'CPU time in the sandbox' AFTER tool_calls;

ALTER TABLE ledger ADD COLUMN IF NOT EXISTS sandbox_gb_ms Int64 COMMENT 'Gigabytes times milliseconds' AFTER sandbox_cpu_ms;

ALTER TABLE usage_quarantine ADD COLUMN IF NOT EXISTS tool_calls Int64 COMMENT 'Tool calls that are paid for one by one' AFTER reasoning_tokens;

ALTER TABLE usage_quarantine ADD COLUMN IF NOT EXISTS sandbox_cpu_ms Int64 COMMENT 'CPU time in the sandbox' AFTER tool_calls;

ALTER TABLE usage_quarantine ADD COLUMN IF NOT EXISTS sandbox_gb_ms Int64 COMMENT 'Gigabytes times milliseconds' AFTER sandbox_cpu_ms;
