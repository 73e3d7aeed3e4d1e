"""What the end of an execution makes of its turn. Pure."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.conversations import model as m
from penstock_streams.kit import Decision, Output
from penstock_streams.work import Ref


def appended(
    conversation: m.Conversation, running: m.Running, finish: r.FinishTurn, now: int, decision: Decision
) -> m.Conversation:
    """Append both sides, as one row and two events."""
    message, number = running.message, conversation.turn_count + 1
    total = conversation.total_tokens + (finish.used_tokens or 0)
    ref = finish.output_ref
    answer = None if ref else finish.output or ""
    user = m.Side(message.said_at, message.size, message.content, message.content_ref)
    assistant = m.Side(
        now,
        ref.size if ref else len((answer or "").encode()),
        answer,
        Ref(ref.sha256, ref.size, ref.uri) if ref else None,
    )
    decision.puts[m.turn_key(finish.conversation_id, number)] = m.Turn(user, assistant)
    common = _identity(conversation, running, finish) | {"turn_number": number}
    for role, side, used in (("user", user, None), ("assistant", assistant, finish.used_tokens)):
        event = r.TurnAppended(**common, **_said(side), role=role, used_tokens=used, total_tokens=total)  # type: ignore[arg-type]
        decision.outputs.append(Output(topics.CONVERSATIONS_EVENTS, event))
    return replace(conversation, turn_count=number, total_tokens=total, last_activity_at=now, running=None)


def failed(
    conversation: m.Conversation, running: m.Running, finish: r.FinishTurn, now: int, decision: Decision
) -> m.Conversation:
    """Say that the message has no answer; the conversation goes on as if it had not been sent."""
    message = running.message
    total = conversation.total_tokens + (finish.used_tokens or 0)
    event = r.TurnFailed(
        **_identity(conversation, running, finish),
        **_said(m.Side(message.said_at, message.size, message.content, message.content_ref)),
        turn_number=conversation.turn_count + 1,
        status=finish.status,
        error_type=finish.error_type,
        error_message=finish.error_message,
        used_tokens=finish.used_tokens,
        total_tokens=total,
    )
    decision.outputs.append(Output(topics.CONVERSATIONS_EVENTS, event))
    return replace(conversation, total_tokens=total, last_activity_at=now, running=None)


def _identity(conversation: m.Conversation, running: m.Running, finish: r.FinishTurn) -> dict[str, Any]:
    return {
        "tenant_id": conversation.tenant_id,
        "conversation_id": finish.conversation_id,
        "user_id": conversation.user_id,
        "agent_type": conversation.agent_type,
        "message_id": running.message.message_id,
        "execution_id": running.execution_id,
    }


def _said(side: m.Side) -> dict[str, Any]:
    ref = side.content_ref
    content_ref = ref.sent_as(r.ContentRef) if ref else None
    return {"said_at": side.said_at, "content": side.content, "content_ref": content_ref}
