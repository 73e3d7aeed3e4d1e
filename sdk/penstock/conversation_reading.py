"""Conversations as ClickHouse has loaded them, and what of them is still only on Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.arguments import ConversationArguments, ConversationsArguments
from penstock.conversation_models import Conversation, ConversationTurn, nested_ref
from penstock.models import moment_of
from penstock.reading import Reading
from penstock_schemas import records as r
from penstock_schemas.records.conversations import ConversationRecord

WHOSE = "tenant_id = {tenant:String} AND user_id = {user:String}"
WHICH = f"{WHOSE} AND conversation_id = {{id:String}}"


class ConversationReading:
    """Reads for one client."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def loaded_up_to(self, partition: int) -> int:
        """The offset of the conversations' events from which on a partition may not be loaded."""
        query = (
            "SELECT count() AS n, max(kafka_offset) AS newest FROM conversations_events "
            "WHERE kafka_partition = {p:Int32}"
        )
        (row,) = await self._reading.rows(query, {"p": partition})
        return int(row["newest"]) + 1 if row["n"] else 0

    async def list(self, wanted: ConversationsArguments) -> Sequence[Conversation]:
        """A user's conversations, the last used first."""
        rows = await self._reading.rows(
            f"SELECT * FROM v_conversations WHERE {WHOSE} "
            "ORDER BY last_activity_at DESC, conversation_id LIMIT {limit:UInt32}",
            {"tenant": wanted.tenant, "user": wanted.user, "limit": wanted.limit},
        )
        return [Conversation.model_validate(row) for row in rows]

    async def one(self, wanted: ConversationArguments) -> Conversation | None:
        """One conversation with its latest turns; None where none is loaded."""
        parameters = {"tenant": wanted.tenant, "user": wanted.user, "id": wanted.conversation_id}
        rows = await self._reading.rows(f"SELECT * FROM v_conversations WHERE {WHICH}", parameters)
        if not rows:
            return None
        turns = await self._reading.rows(
            f"SELECT * FROM v_conversation_turns WHERE {WHICH} "
            "ORDER BY kafka_offset DESC, role LIMIT {limit:UInt32}",
            parameters | {"limit": 2 * wanted.turns},
        )
        costs = await self._reading.rows(
            "SELECT execution_id, sum(cost_nanousd) AS cost FROM ledger FINAL WHERE tenant_id = {tenant:String} "
            "AND execution_id IN (SELECT execution_id FROM conversations_events "
            f"WHERE {WHICH} AND record_type = 'TurnStarted') GROUP BY execution_id",
            parameters,
        )
        cost_of = {row["execution_id"]: int(row["cost"]) for row in costs}
        sides = []
        for row in reversed(turns):
            answers = row["role"] == "assistant" or row["status"] != "appended"
            cost = {"cost_nanousd": cost_of.get(row["execution_id"], 0)} if answers else {}
            sides.append(ConversationTurn.model_validate(nested_ref(row) | cost))
        return Conversation.model_validate(
            rows[0] | {"turns": tuple(sides), "cost_nanousd": sum(cost_of.values())}
        )


def with_events(found: Conversation | None, events: Sequence[r.Record], turns: int) -> Conversation | None:
    """A conversation after later events, some of which it may hold already. Pure; None once it is deleted."""
    for event in events:
        match event:
            case r.ConversationDeleted():
                return None
            case r.ConversationStarted() if found is None:
                fields = event.model_dump(exclude={"event_id", "occurred_at"})
                at = moment_of(event.occurred_at)
                found = Conversation(**fields, started_at=at, last_activity_at=at, cost_nanousd=0)
            case r.TurnStarted() | r.TurnAppended() | r.TurnFailed() if found is not None:
                found = _after(found, event)
    if found is None:
        return None
    kept = [side for side in found.turns if side.turn_number > found.turn_count - turns]
    return found.model_copy(update={"turns": tuple(kept)})


def _after(found: Conversation, event: r.TurnStarted | r.TurnAppended | r.TurnFailed) -> Conversation:
    at = moment_of(event.occurred_at)
    if at < found.last_activity_at:
        return found
    changes: dict[str, Any] = {"last_activity_at": at, "running": isinstance(event, r.TurnStarted)}
    if not isinstance(event, r.TurnStarted):
        side = turn_of(event)
        known = {(each.execution_id, each.role) for each in found.turns}
        if (side.execution_id, side.role) not in known:
            changes["turns"] = (*found.turns, side)
            if isinstance(event, r.TurnFailed):
                changes["failed_turns"] = found.failed_turns + 1
        changes["total_tokens"] = max(found.total_tokens, event.total_tokens)
    if isinstance(event, r.TurnAppended):
        changes["turn_count"] = event.turn_number
    return found.model_copy(update=changes)


def turn_of(event: r.TurnAppended | r.TurnFailed) -> ConversationTurn:
    """What a client returns of an event."""
    failed = isinstance(event, r.TurnFailed)
    return ConversationTurn(
        turn_number=event.turn_number,
        role="user" if isinstance(event, r.TurnFailed) else event.role,
        status=event.status if isinstance(event, r.TurnFailed) else "appended",
        content=event.content,
        content_ref=event.content_ref,
        said_at=moment_of(event.said_at),
        message_id=event.message_id,
        execution_id=event.execution_id,
        used_tokens=event.used_tokens,
        error_type=event.error_type if failed else None,  # type: ignore[union-attr]
        error_message=event.error_message if failed else None,  # type: ignore[union-attr]
    )


def is_about(record: r.Record | None, tenant: str, user: str, conversation_id: str) -> bool:
    """Whether an event is one of this very conversation, to this very user."""
    return isinstance(record, ConversationRecord) and (
        (record.tenant_id, record.user_id, record.conversation_id) == (tenant, user, conversation_id)
    )
