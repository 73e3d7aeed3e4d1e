"""The caller's arguments, checked before anything is sent.

Accounts checks a request again, because other producers reach the topic without this package; here the caller
learns at once, with the argument's name.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from penstock.errors import InvalidInput
from penstock_schemas.records import SYSTEM_TENANT
from penstock_schemas.records.base import Id, Name, TenantId
from penstock_schemas.topics import DEFAULT_QUEUE, MAX_REASON_CHARS

SHOWN_CHARACTERS = 60
"""Of a refused value in an error message; a 10 kB tenant id should not fill the screen."""
MAX_LISTED = 10_000
Status = Literal["queued", "admitted", "running", "completed", "failed", "timed_out", "cancelled", "rejected"]


def _not_reserved(tenant: str) -> str:
    if tenant == SYSTEM_TENANT:
        raise ValueError("is reserved for the platform itself")
    return tenant


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError(f"is not valid Unicode text: {exc.reason} at character {exc.start}") from exc
    return text


Text = Annotated[str, AfterValidator(_encodable)]
CallerTenant = Annotated[TenantId, AfterValidator(_not_reserved)]
CallerId = Annotated[Id, AfterValidator(_encodable)]
Tokens = Annotated[int, Field(ge=0, lt=1 << 63)]


class Arguments(BaseModel):
    """Base of a call's arguments."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class RunArguments(Arguments):
    """Arguments of `Client.submit`."""

    tenant: CallerTenant
    agent: Name
    input: Text
    request_id: CallerId
    user: CallerId | None = None
    model: CallerId | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    timeout_s: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    max_attempts: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    reserve_tokens: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    queue: Name = DEFAULT_QUEUE
    metadata: dict[Text, Text] = Field(default_factory=dict)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


class MessageArguments(Arguments):
    """Arguments of `Client.post_message`."""

    content: Annotated[Text, AfterValidator(_not_blank)]
    tenant: CallerTenant
    user: CallerId
    conversation: CallerId | None = None
    agent: Name | None = None
    on_busy: Literal["enqueue", "reject", "interrupt"] = "enqueue"
    message_id: CallerId
    title: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    metadata: dict[Text, Text] = Field(default_factory=dict)
    model: CallerId | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    timeout_s: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    max_attempts: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    queue: Name = DEFAULT_QUEUE


class OwnerArguments(Arguments):
    """Arguments of `Client.delete_user`."""

    tenant: CallerTenant
    user: CallerId


class ConversationArguments(OwnerArguments):
    """Arguments of `Client.conversation`."""

    conversation_id: CallerId
    turns: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 100


class ConversationsArguments(OwnerArguments):
    """Arguments of `Client.conversations`."""

    limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 50


class CancelArguments(Arguments):
    """Arguments of `Client.cancel`."""

    execution_id: CallerId
    tenant: CallerTenant | None = None
    reason: Annotated[Text, Field(max_length=MAX_REASON_CHARS)] = ""


class ListArguments(Arguments):
    """Arguments of `Client.list`."""

    tenant: CallerTenant | None = None
    status: Status | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 50


A = TypeVar("A", bound=Arguments)


def checked(kind: type[A], **values: Any) -> A:
    """`values` as `kind`.

    Raises:
        InvalidInput: names the first argument that cannot be used, its value, and what is allowed.
    """
    try:
        return kind(**values)
    except ValidationError as exc:
        problem = exc.errors(include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        allowed = problem["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{name} {_shown(problem['input'])}: {allowed}") from exc


def _shown(value: Any) -> str:
    shown = value.isoformat() if isinstance(value, datetime) else repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}… ({len(shown)} characters)"
