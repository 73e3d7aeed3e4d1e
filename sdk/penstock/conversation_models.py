"""What the client returns about conversations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from penstock.models import Cursor, Submission, Value
from penstock.money import usd_text
from penstock_schemas.records import PayloadRef


class PostedMessage(Value):
    """A message that Kafka has acknowledged."""

    conversation_id: str
    message_id: str
    tenant_id: str
    user_id: str
    execution_id: str
    """Of the run that will answer it, known before it starts: `client.follow` shows its progress."""
    event_id: str
    """Identity of this very record; a rejection names it."""
    events_offset: int
    """Nothing about it lies before this offset of its partition of the conversations' events."""
    cursor: Cursor
    named_by_caller: bool = False
    """The message id is the caller's own: it may have been answered before."""

    def submission(self) -> Submission:
        """The same, as what `client.follow` starts from."""
        fields = self.model_dump(include={"execution_id", "tenant_id", "event_id", "named_by_caller"})
        return Submission(**fields, request_id=self.message_id, cursor=self.cursor)


class ConversationTurn(Value):
    """One side of a turn; or a message that was not answered."""

    turn_number: int
    role: str
    """`user` or `assistant`."""
    status: str = "appended"
    """Or why there is no answer: failed, timed_out, cancelled, rejected."""
    content: str | None = None
    content_ref: PayloadRef | None = None
    """Where it is, when it is above 4 KiB: `client.content_of` reads both."""
    said_at: datetime
    message_id: str
    execution_id: str
    used_tokens: int | None = None
    """Tokens of all kinds the run took; of a user's side of an answered turn None."""
    cost_nanousd: int = 0
    """Charged for the run so far, as far as loaded; on the side that `used_tokens` is on."""
    error_type: str | None = None
    error_message: str | None = None


class Conversation(Value):
    """A conversation, without or with its latest turns."""

    conversation_id: str
    tenant_id: str
    user_id: str
    agent_type: str
    title: str
    metadata: dict[str, str] = Field(default_factory=dict)
    turn_count: int = 0
    """Turns that were appended."""
    failed_turns: int = 0
    total_tokens: int = 0
    running: bool = False
    """A turn runs."""
    started_at: datetime
    last_activity_at: datetime
    cost_nanousd: int | None = None
    """Charged so far, as far as loaded; None in lists."""
    turns: tuple[ConversationTurn, ...] = ()
    """Oldest first."""

    @property
    def cost_usd(self) -> str:
        """USD with six decimals, for display."""
        return usd_text(self.cost_nanousd or 0)


def nested_ref(row: dict[str, Any]) -> dict[str, Any]:
    """A row of ClickHouse with the three columns of its reference as one."""
    ref = {name: row[f"content_ref_{name}"] for name in ("sha256", "size", "uri")}
    return row | {"content_ref": ref if ref["sha256"] else None}
