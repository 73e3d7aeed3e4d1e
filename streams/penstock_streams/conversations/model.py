"""What conversations keeps: a head and one row per turn, so that turn 10,000 writes what turn 10 did.

Lists are rows with computed keys: turns by number, waiting messages by place, a user's conversations by the number
they were started under.
"""

from __future__ import annotations

import msgspec

from penstock_schemas.traces import TraceContext
from penstock_streams.kit import Row
from penstock_streams.work import Ref


class Message(msgspec.Struct, frozen=True):
    """A user's message on its way to an answer."""

    message_id: str
    content: str | None
    content_ref: Ref | None
    size: int
    """Bytes of its content."""
    said_at: int
    model: str | None = None
    max_tokens: int | None = None
    timeout_s: int | None = None
    max_attempts: int | None = None
    queue: str = "agents-default"
    trace: TraceContext | None = None


class Running(msgspec.Struct, frozen=True):
    """The turn that runs."""

    message: Message
    execution_id: str
    cancelling: bool = False


class Conversation(Row, frozen=True, tag="conversation"):
    """The head: all that changes, and nothing that grows."""

    tenant_id: str
    user_id: str
    agent_type: str
    number: int
    """The conversation's place in its user's list."""
    turn_count: int = 0
    total_tokens: int = 0
    last_activity_at: int = 0
    running: Running | None = None
    head: int = 0
    """Place of the first waiting message. An interrupting one goes before it, so places may be negative."""
    tail: int = 0
    """Place the next waiting message gets."""

    @property
    def waiting(self) -> int:
        return self.tail - self.head


class Side(msgspec.Struct, frozen=True, array_like=True):
    """What one side said."""

    said_at: int
    size: int
    """Bytes."""
    content: str | None
    content_ref: Ref | None


class Turn(Row, frozen=True, tag="turn"):
    """A turn that was appended. Never changes."""

    user: Side
    assistant: Side


class Waiting(Row, frozen=True, tag="waiting"):
    """A message that waits for the turns before it."""

    message: Message


class Answered(Row, frozen=True, tag="answered"):
    """A message that was taken or rejected; the same again changes nothing."""

    digest: str


class Deleted(Row, frozen=True, tag="deleted"):
    """Stands where a head was; what is left of the conversation is being removed."""

    tenant_id: str
    user_id: str
    turns_left: int
    """Turns 1 to this are still there."""
    swept: bool = False
    """What was put into its folder after it was deleted has been removed, too."""


class Owner(Row, frozen=True, tag="owner"):
    """A user, in this partition."""

    tail: int = 0
    """Number the next conversation gets."""


class Owned(Row, frozen=True, tag="owned"):
    """One entry of a user's list."""

    conversation_id: str


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A command about a user, and which of its copies this partition was sent."""

    command_id: str
    partition: int


class Erasing(Row, frozen=True, tag="erasing"):
    """A user's conversations are being deleted, up to those that were there when it was asked for."""

    command_id: str
    partition: int
    next: int
    """Number in the user's list."""
    end: int
    found: int = 0
    joined: tuple[Asked, ...] = ()
    """Later commands, which this one answers, too."""


ROW_TYPES = (Conversation, Turn, Waiting, Answered, Deleted, Owner, Owned, Erasing)


def conversation_key(conversation_id: str) -> str:
    return f"conversation/{conversation_id}"


def turn_key(conversation_id: str, turn_number: int) -> str:
    return f"turn/{conversation_id}/{turn_number}"


def waiting_key(conversation_id: str, place: int) -> str:
    return f"waiting/{conversation_id}/{place}"


def answered_key(conversation_id: str, message_id: str) -> str:
    return f"answered/{conversation_id}/{message_id}"


def owner_key(tenant_id: str, user_id: str) -> str:
    return f"owner/{tenant_id}/{user_id}"


def owned_key(tenant_id: str, user_id: str, number: int) -> str:
    return f"owned/{tenant_id}/{number}/{user_id}"


def erasing_key(tenant_id: str, user_id: str) -> str:
    return f"erasing/{tenant_id}/{user_id}"


def removal_name(conversation_id: str) -> str:
    """Name of the timer that goes on removing a deleted conversation."""
    return f"remove/{conversation_id}"
