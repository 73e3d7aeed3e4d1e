-- A deleted conversation has one event that says so, whatever is loaded after it, so no replay brings it back.
CREATE OR REPLACE VIEW v_conversations AS
SELECT
    tenant_id,
    user_id,
    conversation_id,
    anyIf(agent_type, record_type = 'ConversationStarted') AS agent_type,
    anyIf(title, record_type = 'ConversationStarted') AS title,
    anyIf(metadata, record_type = 'ConversationStarted') AS metadata,
    maxIf(turn_number, record_type = 'TurnAppended') AS turn_count,
    max(total_tokens) AS total_tokens,
    uniqExactIf(event_id, record_type = 'TurnFailed') AS failed_turns,
    argMaxIf(record_type, kafka_offset, record_type IN ('TurnStarted', 'TurnAppended', 'TurnFailed')) = 'TurnStarted' AS running,
    minIf(occurred_at, record_type = 'ConversationStarted') AS started_at,
    maxIf(occurred_at, record_type IN ('ConversationStarted', 'TurnStarted', 'TurnAppended', 'TurnFailed')) AS last_activity_at
FROM conversations_events
GROUP BY tenant_id, user_id, conversation_id
HAVING countIf(record_type = 'ConversationStarted') > 0 AND countIf(record_type = 'ConversationDeleted') = 0;

ALTER TABLE v_conversations MODIFY COMMENT 'Every conversation that was not deleted, as it is now';

CREATE OR REPLACE VIEW v_conversation_turns AS
SELECT
    tenant_id,
    user_id,
    conversation_id,
    turn_number,
    if(record_type = 'TurnFailed', 'user', role) AS role,
    if(record_type = 'TurnFailed', status, 'appended') AS status,
    said_at,
    content,
    content_ref_uri,
    content_ref_size,
    content_ref_sha256,
    agent_type,
    message_id,
    execution_id,
    used_tokens,
    error_type,
    error_message,
    event_id,
    kafka_offset
FROM conversations_events FINAL
WHERE record_type IN ('TurnAppended', 'TurnFailed')
    AND (tenant_id, user_id, conversation_id) NOT IN
    (
        SELECT tenant_id, user_id, conversation_id FROM conversations_events WHERE record_type = 'ConversationDeleted'
    );

ALTER TABLE v_conversation_turns MODIFY COMMENT 'What both sides said, turn by turn, and messages that were not answered, of conversations that were not deleted';

CREATE OR REPLACE VIEW v_conversation_costs AS
SELECT
    t.tenant_id AS tenant_id,
    t.user_id AS user_id,
    t.conversation_id AS conversation_id,
    t.turn_number AS turn_number,
    t.execution_id AS execution_id,
    l.period AS period,
    l.model AS model,
    l.calls AS calls,
    l.tokens AS tokens,
    l.cost_nanousd AS cost_nanousd
FROM
(
    SELECT DISTINCT tenant_id, user_id, conversation_id, turn_number, execution_id
    FROM conversations_events
    WHERE record_type = 'TurnStarted'
) AS t
INNER JOIN
(
    SELECT
        tenant_id,
        execution_id,
        period,
        model,
        countIf(record_type = 'UsageCharged') AS calls,
        sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens) AS tokens,
        sum(cost_nanousd) AS cost_nanousd
    FROM ledger FINAL
    WHERE execution_id != ''
    GROUP BY tenant_id, execution_id, period, model
) AS l ON l.tenant_id = t.tenant_id AND l.execution_id = t.execution_id;

ALTER TABLE v_conversation_costs MODIFY COMMENT 'What each turn of each conversation was charged, deleted ones too, by month and model';
