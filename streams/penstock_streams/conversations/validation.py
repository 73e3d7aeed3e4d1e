"""What a message must satisfy beyond its schema. Each problem is a typed rejection. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from penstock_schemas.records import PostMessage
from penstock_schemas.topics import MAX_MESSAGE_BYTES
from penstock_streams.accounts.validation import AGENT_NAME
from penstock_streams.conversations import model as m
from penstock_streams.conversations import policy
from penstock_streams.conversations.payloads import HeldMessage, size_of

ON_BUSY = ("enqueue", "reject", "interrupt")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a message is rejected."""

    reason: str
    detail: str


NOT_FOUND = Problem("not_found", "this user has no such conversation")
"""Also for another user's: nobody learns which ids exist."""
MISMATCH = Problem(
    "duplicate_mismatch", "this message_id was already used in the conversation for another message"
)
BUSY = Problem("busy", "a turn runs; wait for it, or send with on_busy enqueue or interrupt")
QUEUE_FULL = Problem("queue_full", f"{policy.MAX_WAITING} messages already wait in this conversation")


def problem_with(message: PostMessage, conversation: m.Conversation | None) -> Problem | None:
    """The first thing wrong with `message`, for the conversation it continues or, None, for a new one."""
    size = size_of(message)
    if size > MAX_MESSAGE_BYTES:
        return Problem("message_too_large", f"the message is {size} bytes, above {MAX_MESSAGE_BYTES}")
    if not isinstance(message, HeldMessage) and not message.content.strip():
        return Problem("invalid_message", "the message is empty")
    if message.on_busy not in ON_BUSY:
        return Problem("invalid_message", f"on_busy {message.on_busy[:40]!r} is not one of: {', '.join(ON_BUSY)}")
    return _problem_with_start(message) if conversation is None else _problem_with_next(message, conversation)


def _problem_with_start(message: PostMessage) -> Problem | None:
    if message.agent_type is None:
        return Problem("invalid_message", "the first message of a conversation must name its agent_type")
    if not AGENT_NAME.fullmatch(message.agent_type):
        return Problem("invalid_message", f"agent_type {message.agent_type[:80]!r} is not a name")
    if message.title is not None and not 1 <= len(message.title) <= policy.MAX_TITLE_CHARS:
        return Problem("invalid_message", f"title must have 1 to {policy.MAX_TITLE_CHARS} characters")
    if sum(len(k.encode()) + len(v.encode()) for k, v in message.metadata.items()) > policy.MAX_METADATA_BYTES:
        return Problem("invalid_message", f"metadata is above {policy.MAX_METADATA_BYTES} bytes")
    return None


def _problem_with_next(message: PostMessage, conversation: m.Conversation) -> Problem | None:
    mine = conversation.agent_type
    if message.agent_type is not None and message.agent_type != mine:
        return Problem("agent_mismatch", f"the conversation is with {mine!r}, not {message.agent_type[:80]!r}")
    if message.title is not None or message.metadata:
        return Problem("invalid_message", "title and metadata are set by the first message")
    return None


def message_digest(message: PostMessage) -> str:
    """Hash of what was said and how, so that a repeated message and a different one can be told apart."""
    said = message.content_ref.sha256 if isinstance(message, HeldMessage) else _sha256(message.content)
    fields = (
        said,
        message.agent_type,
        message.on_busy,
        message.title,
        sorted(message.metadata.items()),
        message.model,
        message.max_tokens,
        message.timeout_s,
        message.queue,
        *([] if message.max_attempts is None else [message.max_attempts]),  # digests of before it was there stay
    )
    return sha256(msgspec.msgpack.encode(fields)).hexdigest()


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
