"""Records as the stages write them."""

from __future__ import annotations

from typing import Any

from penstock_schemas import records as r
from penstock_schemas.ids import conversation_id, derived_id, execution_id

EVENTS = "penstock.executions.events.v1"
PROGRESS = "penstock.executions.progress.v1"
ACCOUNTS = "penstock.accounts.events.v1"
CONVERSATIONS = "penstock.conversations.events.v1"
LETTERS = "penstock.dead-letters.v1"


def charged(
    tenant: str, number: int, *, cost_nanousd: int = 1_500, execution: str | None = None
) -> r.UsageCharged:
    """The line of a tenant's call `number`."""
    return r.UsageCharged(
        event_id=derived_id("line", tenant, number),
        tenant_id=tenant,
        usage_id=f"usage-{number}",
        execution_id=execution,
        epoch=1 if execution else None,
        call_seq=number if execution else None,
        model="claude-3-haiku",
        input_tokens=10,
        output_tokens=2,
        cost_nanousd=cost_nanousd,
        price_version="builtin-1",
        period="2026-11",
        usage_topic="penstock.accounts.commands.v1",
        usage_partition=0,
        usage_offset=number,
    )


def life_of(tenant: str, request: str, *, ending: str = "completed") -> list[r.Record]:
    """Every event of an execution: lost once, then with the ending asked for."""
    identity: dict[str, Any] = {"tenant_id": tenant, "execution_id": execution_id(tenant, request)}
    named: dict[str, Any] = {**identity, "request_id": request, "agent_type": "echo", "user_id": "ann"}
    end: dict[str, Any] = {**named, "epoch": 2, "attempts": 2, "last_seq": 3}
    endings: dict[str, r.Record] = {
        "completed": r.ExecutionCompleted(**end, output="done"),
        "failed": r.ExecutionFailed(**end, error_type="Boom", error_message="it broke"),
        "timed_out": r.ExecutionTimedOut(**end, timeout_s=5),
        "cancelled": r.ExecutionCancelled(**end, reason="changed my mind"),
    }
    return [
        r.ExecutionQueued(**named, model="m", position=3),
        r.ExecutionAdmitted(**named, model="m", tier="pro", timeout_s=5, max_attempts=3),
        r.AttemptStarted(**identity, epoch=1, worker_id="w1", deadline_at=1),
        r.AttemptLost(**identity, epoch=1, worker_id="w1", reason="lease_expired"),
        r.AttemptStarted(**identity, epoch=2, worker_id="w2", deadline_at=1),
        endings[ending],
        r.StaleAttemptReported(**identity, epoch=1, worker_id="w1", current_epoch=2, status="completed"),
        r.RequestRefused(
            **identity,
            request_id=request,
            refused_event_id="x",
            reason="duplicate_mismatch",
            detail="another body",
        ),
    ]


def conversation_of(tenant: str, execution: str) -> list[r.Record]:
    """A conversation of one answered turn and one that failed. The same events each time, as in a replay."""
    said = {"tenant_id": tenant, "user_id": "ann", "conversation_id": conversation_id(tenant, "ann", "m1")}
    first: dict[str, Any] = {**said, "agent_type": "echo", "message_id": "m1", "execution_id": execution}
    second: dict[str, Any] = {**said, "agent_type": "echo", "message_id": "m2", "execution_id": "failed"}
    at = {"said_at": 1_790_000_000_000_000}
    events: list[r.Record] = [
        r.ConversationStarted(**said, agent_type="echo", title="hello", metadata={"channel": "web"}),
        r.TurnStarted(**first, turn_number=1),
        r.TurnAppended(**first, **at, turn_number=1, role="user", content="hello", total_tokens=20),
        r.TurnAppended(
            **first, **at, turn_number=1, role="assistant", content="hi", used_tokens=20, total_tokens=20
        ),
        r.TurnStarted(**second, turn_number=2),
        r.TurnFailed(
            **second,
            **at,
            turn_number=2,
            status="failed",
            error_type="Boom",
            error_message="it broke",
            content="and?",
            used_tokens=10,
            total_tokens=30,
        ),
    ]
    ids = (derived_id("conversation event", tenant, n) for n in range(len(events)))
    return [event.model_copy(update={"event_id": each}) for event, each in zip(events, ids, strict=True)]
