-- One row per record of penstock.conversations.events.v1. A user's rows lie together, so that a list of their
-- conversations reads nobody else's.
CREATE TABLE IF NOT EXISTS conversations_events
(
    tenant_id LowCardinality(String),
    user_id String COMMENT 'Whose conversation, or who asked',
    conversation_id String COMMENT 'hash(tenant_id, user_id, message_id) of its first message',
    event_id String COMMENT 'Identity of the event; derived, so a replay has the same one',
    record_type LowCardinality(String) COMMENT 'ConversationStarted, TurnAppended, TurnFailed, ConversationDeleted, …',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    agent_type LowCardinality(String),
    title String COMMENT 'ConversationStarted',
    metadata Map(String, String) COMMENT 'ConversationStarted: the caller''s own labels',
    message_id String COMMENT 'The caller''s own id of the message',
    execution_id String COMMENT 'The execution that answers the message',
    turn_number Int64 COMMENT 'From 1, without a gap; a failed turn''s number is used again',
    role LowCardinality(String) COMMENT 'TurnAppended: user or assistant',
    content Nullable(String) CODEC(ZSTD(3)) COMMENT 'What was said, up to 4 KiB',
    content_ref_sha256 Nullable(String) COMMENT 'What was said, above 4 KiB, is in the artifact store',
    content_ref_size Nullable(Int64) COMMENT 'Bytes',
    content_ref_uri Nullable(String),
    said_at DateTime64(6, 'UTC') COMMENT 'When the message was received, or the answer accepted',
    used_tokens Nullable(Int64) COMMENT 'Tokens of all kinds of the turn; null where the worker did not say',
    total_tokens Int64 COMMENT 'Of the conversation so far',
    status LowCardinality(String) COMMENT 'TurnFailed: failed, timed_out, cancelled or rejected',
    error_type LowCardinality(String),
    error_message String,
    position Int64 COMMENT 'MessageQueued: messages that go before it, the running one included',
    refused_event_id String COMMENT 'event_id of what MessageRejected or DeletionRejected answers',
    reason LowCardinality(String) COMMENT 'Machine-readable reason of a rejection',
    detail String,
    turn_count Int64 COMMENT 'ConversationDeleted: turns it had',
    cause LowCardinality(String) COMMENT 'ConversationDeleted: conversation or user',
    command_id String COMMENT 'UserDeleted: the command, once per partition',
    partition Int32 COMMENT 'UserDeleted: the partition',
    conversations Int64 COMMENT 'UserDeleted: conversations of that partition',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD) COMMENT 'When the broker appended it',
    INDEX conversation conversation_id TYPE bloom_filter GRANULARITY 1,
    INDEX execution execution_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(kafka_timestamp)
ORDER BY (tenant_id, user_id, conversation_id, event_id)
COMMENT 'The life of every conversation, event by event; v_conversations and v_conversation_turns have what is there now';
