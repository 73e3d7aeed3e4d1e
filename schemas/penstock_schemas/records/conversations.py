"""Records of the conversations stage. A turn is a user's message and its answer; turns are numbered from 1."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from penstock_schemas.ids import conversation_id
from penstock_schemas.records.base import ContentRef, Id, Int32, Int64, Micros, PayloadRef, Record

NAMESPACE_V1 = "penstock.conversations.v1"


class ConversationRecord(Record):
    """Base of every record about one conversation of one user."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    conversation_id: Id
    """`ids.conversation_id(tenant_id, user_id, message_id)` of its first message."""
    user_id: Id
    """The tenant's user it belongs to, or who asked."""


class PostMessage(Record):
    """Say something to an agent. The same `message_id` within a conversation is answered once.

    As in RequestExecution, the stage checks the rest and answers with a typed `MessageRejected`.
    """

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    conversation_id: Id | None = None
    """Null starts a new one, whose id is derived from this message's."""
    user_id: Id
    message_id: Id
    content: str
    agent_type: str | None = None
    """Needed by the first message; any later one may leave it out."""
    on_busy: str = "enqueue"
    """While a turn runs: `enqueue`, `reject` or `interrupt`."""
    title: str | None = None
    """Of a new conversation; null takes it from the content."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Of a new conversation."""
    model: str | None = None
    max_tokens: Int64 | None = None
    timeout_s: Int32 | None = None
    max_attempts: Int32 | None = None
    queue: str = "agents-default"

    @property
    def addressed_id(self) -> str:
        """Id of the conversation it starts or continues."""
        return self.conversation_id or conversation_id(self.tenant_id, self.user_id, self.message_id)


class DeleteConversation(ConversationRecord):
    """Forget a conversation: its turns, and their payloads in the artifact store."""


class DeleteUser(Record):
    """Operator: forget every conversation of a user. Routed to each partition."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    user_id: Id
    command_id: Id
    """The same in the copies for all partitions."""
    partition: Int32


class FinishTurn(ConversationRecord):
    """Executions and accounts: the execution of a turn ended, or was never admitted."""

    execution_id: Id
    turn_number: Int64
    status: Literal["completed", "failed", "timed_out", "cancelled", "rejected"]
    output: str | None = None
    output_ref: PayloadRef | None = None
    error_type: str = ""
    error_message: str = ""
    used_tokens: Int64 | None = None
    """Tokens of all kinds that the attempt which decided used; null where its worker did not say."""


class ErasePayloads(ConversationRecord):
    """Conversations, to itself: remove everything a conversation keeps in the artifact store."""


class ConversationStarted(ConversationRecord):
    """A user's first message to an agent was taken."""

    agent_type: str
    title: str
    metadata: dict[str, str] = Field(default_factory=dict)


class TurnEvent(ConversationRecord):
    """Base of events about one message and the turn it is to become."""

    agent_type: str
    message_id: Id
    execution_id: Id


class MessageQueued(TurnEvent):
    """A turn runs; the message waits for its own."""

    position: Int64
    """How many messages go before it, the running one included."""


class TurnStarted(TurnEvent):
    """The execution of a turn was asked for."""

    turn_number: Int64


class TurnAppended(TurnEvent):
    """One side of a turn that is now part of the conversation; both are appended at once."""

    turn_number: Int64
    """From 1, without a gap."""
    role: Literal["user", "assistant"]
    content: str | None = None
    content_ref: ContentRef | None = None
    """Content above 4 KiB."""
    said_at: Micros
    """When the message was received, or the answer accepted."""
    used_tokens: Int64 | None = None
    """Of the assistant: tokens of all kinds the answer took; null where the worker did not say."""
    total_tokens: Int64 = 0
    """Of the conversation so far, with this turn."""


class TurnFailed(TurnEvent):
    """A turn ended without an answer. Its message is not part of the conversation, its number is used again."""

    turn_number: Int64
    status: str
    """failed, timed_out, cancelled or rejected."""
    error_type: str
    error_message: str
    content: str | None = None
    """Of the user's message."""
    content_ref: ContentRef | None = None
    said_at: Micros
    used_tokens: Int64 | None = None
    total_tokens: Int64 = 0


class MessageRejected(ConversationRecord):
    """The message changed nothing. `reason` is machine-readable, `detail` says what to do."""

    message_id: Id
    refused_event_id: str
    """`event_id` of the PostMessage: its sender knows itself by it."""
    reason: str
    detail: str


class DeletionRejected(ConversationRecord):
    """Nothing was deleted."""

    refused_event_id: str
    """`event_id` of the DeleteConversation."""
    reason: str
    detail: str


class ConversationDeleted(ConversationRecord):
    """Its turns are gone; what Kafka keeps of it goes with retention."""

    turn_count: Int64
    cause: str
    """`conversation`, or `user` where all of the user's were deleted."""


class UserDeleted(Record):
    """One partition has forgotten a user's conversations."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    user_id: Id
    command_id: Id
    partition: Int32
    conversations: Int64
    """How many this partition had."""
