"""What the supervisor and a slot say to each other: 4 bytes of length (big-endian), then MessagePack."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from penstock.artifacts import MAX_PAYLOAD_BYTES
from penstock_schemas.traces import TraceContext

LENGTH_BYTES = 4
MAX_FRAME_BYTES = MAX_PAYLOAD_BYTES + 1024 * 1024
"""A payload and what goes around it."""


class FrameTooLong(ValueError):
    """A message above `MAX_FRAME_BYTES`, or bytes that are no message at all."""


class Past(msgspec.Struct, frozen=True, array_like=True):
    """One side of an earlier turn of the conversation."""

    turn_number: int
    role: str
    content: str
    said_at: int
    """Microseconds."""


class Handed(msgspec.Struct, frozen=True, array_like=True):
    """A file of an earlier stage, for the workspace."""

    path: str
    """Below the workspace."""
    sha256: str
    size_bytes: int
    uri: str
    """In the artifact store."""


class Start(msgspec.Struct, frozen=True, tag=True):
    """To a slot: run this attempt."""

    execution_id: str
    epoch: int
    tenant_id: str
    agent_type: str
    input: str
    user_id: str | None
    model: str | None
    max_tokens: int | None
    reserved_tokens: int | None
    metadata: dict[str, str]
    workspace: str
    deadline_s: float
    """CLOCK_BOOTTIME at which the slot kills itself unless it hears of a later one."""
    conversation_id: str | None = None
    turn_number: int | None = None
    history: tuple[Past, ...] = ()
    pipeline_id: str | None = None
    previous_outputs: tuple[tuple[str, str], ...] = ()
    """Name and output of each earlier stage."""
    tier: str = "free"
    sandboxed: bool = False
    """Whether the worker has tried this tier's sandbox; without it no command runs."""
    handed: tuple[Handed, ...] = ()
    """Put into the workspace before the agent starts."""
    artifact_patterns: tuple[str, ...] = ()
    """Of files that are kept when the agent has returned."""
    kept_in: str | None = None
    """The scope of the artifact store that kept files go to; None for this month."""
    trace: TraceContext | None = None
    """The run's own span: what the agent records is below it."""


class Extend(msgspec.Struct, frozen=True, tag=True):
    """To a slot: the lease lives on."""

    deadline_s: float


class CallKnown(msgspec.Struct, frozen=True, tag=True):
    """To a slot: Kafka has the StartCall of this number; the call may be made."""

    call_seq: int


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """To a slot: the run will be ended in a moment."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a slot: send me an attempt."""


class Reported(msgspec.Struct, frozen=True, tag=True):
    """From a slot: one record of the run, as the JSON of its model."""

    record_type: str
    body: bytes


class Ended(msgspec.Struct, frozen=True, tag=True):
    """From a slot: the run is over. `error_type` is None where it returned `output`."""

    output: str = ""
    error_type: str | None = None
    error_message: str = ""
    retryable: bool = False


ToSlot: TypeAlias = Start | Extend | CallKnown | Cancel
FromSlot: TypeAlias = Ready | Reported | Ended

_to_slot = msgspec.msgpack.Decoder(ToSlot)
_from_slot = msgspec.msgpack.Decoder(FromSlot)
_encoder = msgspec.msgpack.Encoder()


def frame(message: ToSlot | FromSlot) -> bytes:
    """`message` as it goes over the socket.

    Raises:
        FrameTooLong: above `MAX_FRAME_BYTES`.
        UnicodeEncodeError: a text with lone surrogates.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLong(f"{type(message).__name__} of {len(body)} bytes is above {MAX_FRAME_BYTES}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def body_length(prefix: bytes) -> int:
    """Bytes of the body that follows `prefix`.

    Raises:
        FrameTooLong: no message of ours is that long.
    """
    length = int.from_bytes(prefix, "big")
    if length > MAX_FRAME_BYTES:
        raise FrameTooLong(f"a frame announces {length} bytes; at most {MAX_FRAME_BYTES} are ours")
    return length


def to_slot(body: bytes) -> ToSlot:
    """The message a slot received."""
    message: ToSlot = _to_slot.decode(body)
    return message


def from_slot(body: bytes) -> FromSlot:
    """The message the supervisor received.

    Raises:
        msgspec.DecodeError: not a message.
    """
    message: FromSlot = _from_slot.decode(body)
    return message
