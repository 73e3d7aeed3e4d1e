ALTER TABLE executions_events
    ADD COLUMN IF NOT EXISTS conversation_id Nullable(String) COMMENT 'The conversation whose turn it is' AFTER agent_type,
    ADD COLUMN IF NOT EXISTS turn_number Nullable(Int64) AFTER conversation_id;
