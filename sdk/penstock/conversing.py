"""Writing to conversations and waiting for what becomes of it."""

from __future__ import annotations

import time
from contextlib import aclosing
from uuid import uuid4

from penstock.arguments import ConversationArguments, MessageArguments, OwnerArguments
from penstock.broadcasting import Broadcasting
from penstock.connecting import KafkaConnection
from penstock.conversation_models import Conversation, ConversationTurn, PostedMessage
from penstock.conversation_reading import ConversationReading, is_about, turn_of, with_events
from penstock.encoding import Encoding
from penstock.errors import (
    ExecutionCancelledError,
    ExecutionFailedError,
    FollowTimeout,
    MessageRejected,
    NotConfirmed,
    NotFound,
    PayloadTooLarge,
    RequestRejected,
)
from penstock.event_tail import CONFIRMED_WITHIN_S, EventTail
from penstock.submitting import Submitting, now_us
from penstock.tracing import sending_span
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.topics import (
    CONVERSATIONS_COMMANDS,
    CONVERSATIONS_EVENTS,
    CONVERSATIONS_REQUESTS,
    MAX_MESSAGE_BYTES,
)

USER_DELETED_WITHIN_S = 120.0
"""A user's conversations go in steps of some hundreds."""


class Conversing:
    """Posts, waits and deletes for one client."""

    def __init__(
        self, kafka: KafkaConnection, encoding: Encoding, submitting: Submitting, reading: ConversationReading
    ) -> None:
        self._kafka = kafka
        self._submitting = submitting
        self._reading = reading
        self._broadcasting = Broadcasting(kafka, encoding)
        self._tail = EventTail(kafka, encoding, CONVERSATIONS_EVENTS)

    async def post(self, wanted: MessageArguments, *, named_by_caller: bool) -> PostedMessage:
        """Send one message.

        1. The ends of its partitions are captured. A crash after this leaves nothing.
        2. The message is sent and acknowledged. A crash between the two leaves the caller not knowing; the same
           message id may be sent again, and is answered once.
        """
        if (size := len(wanted.content.encode())) > MAX_MESSAGE_BYTES:
            raise PayloadTooLarge(f"the message is {size} bytes, above {MAX_MESSAGE_BYTES}; nothing was sent")
        message = r.PostMessage(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            conversation_id=wanted.conversation,
            user_id=wanted.user,
            message_id=wanted.message_id,
            content=wanted.content,
            agent_type=wanted.agent,
            on_busy=wanted.on_busy,
            title=wanted.title,
            metadata=wanted.metadata,
            model=wanted.model,
            max_tokens=wanted.max_tokens,
            timeout_s=wanted.timeout_s,
            max_attempts=wanted.max_attempts,
            queue=wanted.queue,
        )
        request_id = ids.turn_request_id(message.addressed_id, message.message_id)
        execution_id = ids.execution_id(wanted.tenant, request_id)
        cursor = await self._submitting.cursor_now(execution_id)
        events = await self._kafka.partition_of(CONVERSATIONS_EVENTS, message.addressed_id)
        ends = await self._kafka.end_offsets([events])
        with sending_span(CONVERSATIONS_REQUESTS, execution_id, wanted.agent or ""):
            await self._submitting.produce(CONVERSATIONS_REQUESTS, message)
        return PostedMessage(
            conversation_id=message.addressed_id,
            message_id=message.message_id,
            tenant_id=wanted.tenant,
            user_id=wanted.user,
            execution_id=execution_id,
            event_id=message.event_id,
            events_offset=ends[events],
            cursor=cursor,
            named_by_caller=named_by_caller,
        )

    async def answer(self, posted: PostedMessage, timeout_s: float | None) -> ConversationTurn:
        """Wait for the end of a message's turn."""
        events = await self._kafka.partition_of(CONVERSATIONS_EVENTS, posted.conversation_id)
        give_up_at_s = None if timeout_s is None else time.monotonic() + timeout_s
        async with aclosing(self._tail.read({events: posted.events_offset}, give_up_at_s)) as records:
            async for record in records:
                if record is None:
                    turn = await self._answered_before(posted) if posted.named_by_caller else None
                else:
                    turn = _answer_in(record, posted)
                if turn is not None:
                    return turn
        raise FollowTimeout(f"message {posted.message_id!r} was not answered within {timeout_s:g} s")

    async def conversation(self, wanted: ConversationArguments) -> Conversation:
        """A conversation as of now: loaded, or still only on Kafka."""
        events = await self._kafka.partition_of(CONVERSATIONS_EVENTS, wanted.conversation_id)
        position = await self._reading.loaded_up_to(events.partition)
        found = await self._reading.one(wanted)
        end = (await self._kafka.end_offsets([events]))[events]
        later: list[r.Record] = []
        if position < end:
            give_up_at_s = time.monotonic() + CONFIRMED_WITHIN_S
            async with aclosing(self._tail.read({events: position}, give_up_at_s, until=end)) as records:
                later = [
                    record
                    async for record in records
                    if record is not None and is_about(record, wanted.tenant, wanted.user, wanted.conversation_id)
                ]
        found = with_events(found, later, wanted.turns)
        if found is None:
            raise NotFound(f"user {wanted.user!r} has no conversation {wanted.conversation_id!r}")
        return found

    async def delete(self, wanted: ConversationArguments) -> None:
        """Delete one conversation and wait until it is gone."""
        command = r.DeleteConversation(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            conversation_id=wanted.conversation_id,
            user_id=wanted.user,
        )
        events = await self._kafka.partition_of(CONVERSATIONS_EVENTS, wanted.conversation_id)
        ends = await self._kafka.end_offsets([events])
        await self._submitting.produce(CONVERSATIONS_REQUESTS, command)
        async with aclosing(self._tail.read(ends, time.monotonic() + CONFIRMED_WITHIN_S)) as records:
            async for record in records:
                if not is_about(record, wanted.tenant, wanted.user, wanted.conversation_id):
                    continue
                if isinstance(record, r.ConversationDeleted):
                    return
                if isinstance(record, r.DeletionRejected) and record.refused_event_id == command.event_id:
                    raise NotFound(f"user {wanted.user!r} has no conversation {wanted.conversation_id!r}")
        raise _not_confirmed(f"deletion of conversation {wanted.conversation_id!r}", CONFIRMED_WITHIN_S)

    async def delete_user(self, wanted: OwnerArguments) -> int:
        """Delete every conversation of a user; returns how many there were."""
        command = r.DeleteUser(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            user_id=wanted.user,
            command_id=str(uuid4()),
            partition=0,
        )
        ends = await self._kafka.end_offsets(await self._kafka.partitions_of(CONVERSATIONS_EVENTS))
        asked = await self._broadcasting.write(CONVERSATIONS_COMMANDS, [command])
        left, deleted = {to.partition for to in asked}, 0
        async with aclosing(self._tail.read(ends, time.monotonic() + USER_DELETED_WITHIN_S)) as records:
            async for record in records:
                if isinstance(record, r.UserDeleted) and record.command_id == command.command_id:
                    left.discard(record.partition)
                    deleted += record.conversations
                if not left:
                    return deleted
        raise _not_confirmed(f"deletion of user {wanted.user!r}", USER_DELETED_WITHIN_S)

    async def _answered_before(self, posted: PostedMessage) -> ConversationTurn | None:
        wanted = ConversationArguments(
            tenant=posted.tenant_id, user=posted.user_id, conversation_id=posted.conversation_id, turns=1_000
        )
        found = await self._reading.one(wanted)
        for side in reversed(found.turns if found else ()):
            if side.message_id == posted.message_id and side.status != "appended":
                raise _failure(side.status, side.execution_id, side.error_type or "", side.error_message or "")
            if side.message_id == posted.message_id and side.role == "assistant":
                return side
        return None


def _answer_in(record: r.Record | None, posted: PostedMessage) -> ConversationTurn | None:
    """The answer, or the error that says why there is none; None where the record is about something else."""
    if not is_about(record, posted.tenant_id, posted.user_id, posted.conversation_id):
        return None
    match record:
        case r.ConversationDeleted():
            raise NotFound(f"conversation {posted.conversation_id!r} was deleted before the answer")
        case r.MessageRejected() if record.refused_event_id == posted.event_id:
            if record.reason == "not_found":
                raise NotFound(f"user {posted.user_id!r} has no conversation {posted.conversation_id!r}")
            raise MessageRejected(record.reason, record.detail)
        case r.TurnFailed() if record.message_id == posted.message_id:
            raise _failure(record.status, record.execution_id, record.error_type, record.error_message)
        case r.TurnAppended(role="assistant") if record.message_id == posted.message_id:
            return turn_of(record)
    return None


def _failure(status: str, execution_id: str, error_type: str, message: str) -> Exception:
    if status == "rejected":
        return RequestRejected(error_type, message)
    if status == "cancelled":
        return ExecutionCancelledError(execution_id, message)
    return ExecutionFailedError(execution_id, error_type, message)


def _not_confirmed(what: str, within_s: float) -> NotConfirmed:
    return NotConfirmed(
        f"the {what} is on Kafka, and conversations has not confirmed it within {within_s:g} s; it does once the "
        "streams process runs (`penstock status`)"
    )
