-- What the execution of a call is part of, so that a bill can be broken down by it. Null for everything else, and on
-- what was charged before accounts said so. Nothing looks them up but sums over a whole month: no index.
ALTER TABLE ledger
    ADD COLUMN IF NOT EXISTS pipeline_id Nullable(String) COMMENT 'The pipeline whose stage made the call' AFTER agent_type,
    ADD COLUMN IF NOT EXISTS conversation_id Nullable(String) COMMENT 'The conversation whose turn made the call' AFTER pipeline_id;

ALTER TABLE usage_quarantine
    ADD COLUMN IF NOT EXISTS pipeline_id Nullable(String) COMMENT 'The pipeline whose stage made the call' AFTER agent_type,
    ADD COLUMN IF NOT EXISTS conversation_id Nullable(String) COMMENT 'The conversation whose turn made the call' AFTER pipeline_id;

ALTER TABLE accounts_events
    ADD COLUMN IF NOT EXISTS pipeline_id Nullable(String) COMMENT 'UsageUnresolved, SpendWasted: the pipeline whose stage it was' AFTER agent_type,
    ADD COLUMN IF NOT EXISTS conversation_id Nullable(String) COMMENT 'UsageUnresolved, SpendWasted: the conversation whose turn it was' AFTER pipeline_id;
