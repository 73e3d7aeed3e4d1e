"""The conversations stage in memory, and what its users and executions say to it."""

from __future__ import annotations

from typing import Any

from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.records import Record
from penstock_streams.conversations.decide import Conversations
from penstock_streams.conversations.policy import ConversationPolicy, Window
from tests.streams.partition import Partition


def stage(**windows: Window) -> Partition:
    return Partition(Conversations(ConversationPolicy(windows=windows)))


def post(message: str = "m1", content: str = "hello", **fields: Any) -> r.PostMessage:
    values = {
        "tenant_id": "acme",
        "user_id": "ann",
        "agent_type": "assistant",
        "event_id": f"e-{message}",
    } | fields
    return r.PostMessage(message_id=message, content=content, **values)


def started_by(message: str = "m1", tenant: str = "acme", user: str = "ann") -> str:
    """Id of the conversation a message starts."""
    return ids.conversation_id(tenant, user, message)


CONVERSATION = started_by("m1")


def then(message: str, content: str = "go on", **fields: Any) -> r.PostMessage:
    """A later message of the conversation that m1 started."""
    return post(message, content, **({"conversation_id": CONVERSATION, "agent_type": None} | fields))


def finish(message: str, status: str = "completed", **fields: Any) -> r.FinishTurn:
    """The end of the execution that answers a message of that conversation."""
    values: dict[str, Any] = {"output": f"answer to {message}" if status == "completed" else None}
    request_id = ids.turn_request_id(CONVERSATION, message)
    return r.FinishTurn(
        tenant_id="acme",
        conversation_id=CONVERSATION,
        user_id="ann",
        execution_id=ids.execution_id("acme", request_id),
        turn_number=1,
        status=status,
        **(values | fields),
    )


def requests(records: list[Record]) -> list[r.RequestExecution]:
    return [record for record in records if isinstance(record, r.RequestExecution)]


def said(request: r.RequestExecution) -> list[tuple[int, str, str | None]]:
    return [(past.turn_number, past.role, past.content) for past in request.history]
