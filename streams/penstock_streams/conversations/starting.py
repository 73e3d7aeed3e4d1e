"""Starting conversations and turns. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_streams.conversations import model as m
from penstock_streams.conversations.payloads import HeldMessage, size_of
from penstock_streams.conversations.policy import TITLE_FROM_CONTENT_CHARS, ConversationPolicy
from penstock_streams.conversations.window import history
from penstock_streams.kit import Decision, Event, Output, Rows
from penstock_streams.work import Ref


def started(rows: Rows, post: r.PostMessage, now: int, decision: Decision) -> m.Conversation:
    """A new conversation, also in its user's list."""
    assert post.agent_type is not None, "a first message without an agent is rejected"
    key = m.owner_key(post.tenant_id, post.user_id)
    owner = rows.get(key, m.Owner) or m.Owner()
    decision.puts[key] = m.Owner(owner.tail + 1)
    decision.puts[m.owned_key(post.tenant_id, post.user_id, owner.tail)] = m.Owned(post.addressed_id)
    event = r.ConversationStarted(
        tenant_id=post.tenant_id,
        conversation_id=post.addressed_id,
        user_id=post.user_id,
        agent_type=post.agent_type,
        title=post.title or _title_of(post),
        metadata=post.metadata,
    )
    decision.outputs.append(Output(topics.CONVERSATIONS_EVENTS, event))
    return m.Conversation(post.tenant_id, post.user_id, post.agent_type, owner.tail, last_activity_at=now)


def message_of(post: r.PostMessage, event: Event) -> m.Message:
    """What is kept of a message until it is answered."""
    held = post.content_ref if isinstance(post, HeldMessage) else None
    return m.Message(
        message_id=post.message_id,
        content=None if held else post.content,
        content_ref=Ref(held.sha256, held.size, held.uri) if held else None,
        size=size_of(post),
        said_at=event.timestamp,
        model=post.model,
        max_tokens=post.max_tokens,
        timeout_s=post.timeout_s,
        max_attempts=post.max_attempts,
        queue=post.queue,
        trace=event.trace,
    )


def execution_of(conversation: m.Conversation, conversation_id: str, message: m.Message) -> str:
    """Id of the execution that answers a message."""
    request_id = ids.turn_request_id(conversation_id, message.message_id)
    return ids.execution_id(conversation.tenant_id, request_id)


def begin(
    rows: Rows,
    policy: ConversationPolicy,
    conversation_id: str,
    conversation: m.Conversation,
    message: m.Message,
    now: int,
    decision: Decision,
) -> m.Conversation:
    """Ask for the execution that answers `message`, in the trace the message came with."""
    number, ref = conversation.turn_count + 1, message.content_ref
    request = r.RequestExecution(
        tenant_id=conversation.tenant_id,
        request_id=ids.turn_request_id(conversation_id, message.message_id),
        user_id=conversation.user_id,
        agent_type=conversation.agent_type,
        model=message.model,
        input=message.content,
        input_ref=ref.payload() if ref else None,
        max_tokens=message.max_tokens,
        timeout_s=message.timeout_s,
        max_attempts=message.max_attempts,
        queue=message.queue,
        conversation_id=conversation_id,
        turn_number=number,
        history=history(rows, conversation_id, conversation.turn_count, policy.window_of(conversation.agent_type)),
    )
    execution_id = execution_of(conversation, conversation_id, message)
    event = r.TurnStarted(
        tenant_id=conversation.tenant_id,
        conversation_id=conversation_id,
        user_id=conversation.user_id,
        agent_type=conversation.agent_type,
        message_id=message.message_id,
        execution_id=execution_id,
        turn_number=number,
    )
    decision.outputs += [
        Output(topics.ACCOUNTS_REQUESTS, request, message.trace),
        Output(topics.CONVERSATIONS_EVENTS, event, message.trace),
    ]
    return replace(conversation, running=m.Running(message, execution_id), last_activity_at=now)


def _title_of(post: r.PostMessage) -> str:
    content = post.beginning if isinstance(post, HeldMessage) else post.content
    line = " ".join(content.split()) or "…"
    return line if len(line) <= TITLE_FROM_CONTENT_CHARS else line[: TITLE_FROM_CONTENT_CHARS - 1] + "…"
