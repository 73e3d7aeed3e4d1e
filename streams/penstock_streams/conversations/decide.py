"""What conversations decides. Pure: rows, one event or due timer, the time; out come rows, records and timers.

    message ── idle ──> running ── completed ──> appended, both sides at once
       │                   │
       └── busy: waits     └── failed | timed out | cancelled | rejected ──> TurnFailed; the number is used again

One turn of a conversation runs at a time; the next message starts when it has ended, whatever its end. A message
is taken or rejected once per message_id. Whatever belongs to another user does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_streams.conversations import model as m
from penstock_streams.conversations.deleting import (
    cancel_turn,
    delete_user,
    erase,
    erase_payloads,
    forget,
    go_on_removing,
    remove,
)
from penstock_streams.conversations.ending import appended, failed
from penstock_streams.conversations.policy import KEPT_US, MAX_WAITING, ConversationPolicy
from penstock_streams.conversations.starting import begin, execution_of, message_of, started
from penstock_streams.conversations.validation import (
    BUSY,
    MISMATCH,
    NOT_FOUND,
    QUEUE_FULL,
    Problem,
    message_digest,
    problem_with,
)
from penstock_streams.kit import Decision, Event, Output, Row, Rows, Timer, TimerDue

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Conversations:
    """The stage's decide function, bound to the operator's policy."""

    policy: ConversationPolicy

    def __call__(self, rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        if isinstance(event, TimerDue):
            return self._timer(rows, event.name, now)
        match event.record:
            case r.PostMessage() as message:
                return self._post(rows, message, event, now)
            case r.FinishTurn() as finish:
                return self._finish(rows, finish, now)
            case r.DeleteConversation() as command:
                return self._delete(rows, command, now)
            case r.DeleteUser() as command:
                return delete_user(rows, command, now)
            case r.ErasePayloads():
                return Decision()  # done while it was prepared
        raise TypeError(f"conversations does not handle {type(event.record).__name__}")

    def _timer(self, rows: Rows, name: str, now: int) -> Decision:
        kind, _, identity = name.partition("/")
        match kind:
            case "answered":
                return Decision(deletes=[name])  # a message has been remembered long enough
            case "remove":
                return go_on_removing(rows, identity, now)
            case "erasing":
                return erase(rows, name, now)
            case "conversation":
                return forget(rows, identity, now)
        raise ValueError(f"conversations has no timer {name!r}")

    def _post(self, rows: Rows, post: r.PostMessage, event: Event, now: int) -> Decision:
        conversation_id = post.addressed_id
        starts = conversation_id == ids.conversation_id(post.tenant_id, post.user_id, post.message_id)
        row = rows.get(m.conversation_key(conversation_id), Row)
        conversation = row if isinstance(row, m.Conversation) else None
        if conversation is not None and not _is_of(conversation, post):
            conversation = None
        if conversation is None and (row is not None or not starts):
            return _rejected(post, NOT_FOUND)

        key, digest = m.answered_key(conversation_id, post.message_id), message_digest(post)
        if conversation is not None and (answered := rows.get(key, m.Answered)):
            return Decision() if answered.digest == digest else _rejected(post, MISMATCH)
        if problem := problem_with(post, conversation):
            return _rejected(post, problem)
        decision = Decision()
        if conversation is None:
            conversation = started(rows, post, now, decision)
        elif problem := _no_room(conversation, post):
            decision = _rejected(post, problem)
            decision.puts[key] = m.Answered(digest)
            decision.timers.append(Timer(key, now + KEPT_US))
            return decision
        decision.puts[key] = m.Answered(digest)
        decision.timers.append(Timer(key, now + KEPT_US))
        message = message_of(post, event)
        if conversation.running is None:
            conversation = begin(rows, self.policy, conversation_id, conversation, message, now, decision)
        else:
            conversation = _wait(conversation_id, conversation, message, post.on_busy, decision)
        decision.puts[m.conversation_key(conversation_id)] = conversation
        return decision

    def _finish(self, rows: Rows, finish: r.FinishTurn, now: int) -> Decision:
        key = m.conversation_key(finish.conversation_id)
        conversation = rows.get(key, Row)
        if isinstance(conversation, m.Deleted):  # while it ran
            return Decision(outputs=[erase_payloads(finish.tenant_id, finish.user_id, finish.conversation_id)])
        if (
            not isinstance(conversation, m.Conversation)
            or conversation.running is None
            or conversation.running.execution_id != finish.execution_id
        ):
            return Decision()
        decision = Decision()
        end = appended if finish.status == "completed" else failed
        conversation = end(conversation, conversation.running, finish, now, decision)
        if conversation.waiting:
            place = m.waiting_key(finish.conversation_id, conversation.head)
            waiting = rows.get(place, m.Waiting)
            if waiting is None:
                raise LookupError(f"{place} is missing between head and tail")
            decision.deletes.append(place)
            conversation = replace(conversation, head=conversation.head + 1)
            overlay = _WithTurns(rows, decision)
            conversation = begin(
                overlay, self.policy, finish.conversation_id, conversation, waiting.message, now, decision
            )
        decision.puts[key] = conversation
        return decision

    def _delete(self, rows: Rows, command: r.DeleteConversation, now: int) -> Decision:
        row = rows.get(m.conversation_key(command.conversation_id), Row)
        if not isinstance(row, m.Conversation) or not _is_of(row, command):
            rejected = r.DeletionRejected(
                tenant_id=command.tenant_id,
                conversation_id=command.conversation_id,
                user_id=command.user_id,
                refused_event_id=command.event_id,
                reason=NOT_FOUND.reason,
                detail=NOT_FOUND.detail,
            )
            return Decision(outputs=[Output(topics.CONVERSATIONS_EVENTS, rejected)])
        decision = Decision()
        remove(command.conversation_id, row, now, decision, cause="conversation")
        return decision


@dataclass(frozen=True, slots=True)
class _WithTurns:
    """The rows, with the turn that this very decision appends."""

    rows: Rows
    decision: Decision

    def get(self, key: str, row_type: type[R]) -> R | None:
        put = self.decision.puts.get(key)
        return put if isinstance(put, row_type) else self.rows.get(key, row_type)


def _is_of(conversation: m.Conversation, asking: r.PostMessage | r.DeleteConversation) -> bool:
    return (conversation.tenant_id, conversation.user_id) == (asking.tenant_id, asking.user_id)


def _no_room(conversation: m.Conversation, post: r.PostMessage) -> Problem | None:
    if conversation.running is not None and post.on_busy == "reject":
        return BUSY
    return QUEUE_FULL if conversation.waiting >= MAX_WAITING else None


def _wait(
    conversation_id: str, conversation: m.Conversation, message: m.Message, on_busy: str, decision: Decision
) -> m.Conversation:
    """Put a message behind those that wait; an interrupting one before them, and the running turn is cancelled."""
    running = conversation.running
    assert running is not None, "a message waits only for a turn that runs"
    if on_busy == "interrupt":
        place, position = conversation.head - 1, 1
        conversation = replace(conversation, head=place)
        if not running.cancelling:
            decision.outputs.append(
                cancel_turn(conversation, running, f"interrupted by message {message.message_id}")
            )
            conversation = replace(conversation, running=replace(running, cancelling=True))
    else:
        place, position = conversation.tail, conversation.waiting + 1
        conversation = replace(conversation, tail=place + 1)
    decision.puts[m.waiting_key(conversation_id, place)] = m.Waiting(message)
    queued = r.MessageQueued(
        tenant_id=conversation.tenant_id,
        conversation_id=conversation_id,
        user_id=conversation.user_id,
        agent_type=conversation.agent_type,
        message_id=message.message_id,
        execution_id=execution_of(conversation, conversation_id, message),
        position=position,
    )
    decision.outputs.append(Output(topics.CONVERSATIONS_EVENTS, queued))
    return conversation


def _rejected(post: r.PostMessage, problem: Problem) -> Decision:
    rejected = r.MessageRejected(
        tenant_id=post.tenant_id,
        conversation_id=post.addressed_id,
        user_id=post.user_id,
        message_id=post.message_id,
        refused_event_id=post.event_id,
        reason=problem.reason,
        detail=problem.detail,
    )
    return Decision(outputs=[Output(topics.CONVERSATIONS_EVENTS, rejected)])
