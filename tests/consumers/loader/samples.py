"""Records as the stages write them."""

from __future__ import annotations

from typing import Any

from penstock_schemas import records as r
from penstock_schemas.ids import conversation_id, derived_id, execution_id, pipeline_id

EVENTS = "penstock.executions.events.v1"
PROGRESS = "penstock.executions.progress.v1"
ACCOUNTS = "penstock.accounts.events.v1"
CONVERSATIONS = "penstock.conversations.events.v1"
PIPELINES = "penstock.pipelines.events.v1"
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


KEPT = r.ArtifactsRef(sha256="a" * 64, size=200, uri="file:///store/aa/" + "a" * 64)


def life_of(tenant: str, request: str, *, ending: str = "completed") -> list[r.Record]:
    """Every event of an execution: lost once, then with the ending asked for."""
    identity: dict[str, Any] = {"tenant_id": tenant, "execution_id": execution_id(tenant, request)}
    named: dict[str, Any] = {**identity, "request_id": request, "agent_type": "echo", "user_id": "ann"}
    end: dict[str, Any] = {**named, "epoch": 2, "attempts": 2, "last_seq": 3}
    endings: dict[str, r.Record] = {
        "completed": r.ExecutionCompleted(**end, output="done", artifacts_ref=KEPT, artifacts=2),
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


def pipeline_of(tenant: str, execution: str, *, until: str = "completed") -> list[r.Record]:
    """A pipeline of two steps whose second failed, was resumed, and ended. The same events each time.

    Args:
        tenant: whose.
        execution: of the first stage.
        until: the last event: `failed`, `resumed` or `completed`.
    """
    whose: dict[str, Any] = {"tenant_id": tenant, "user_id": "ann", "pipeline_id": pipeline_id(tenant, "p1")}
    first: dict[str, Any] = {
        **whose,
        "stage_index": 0,
        "stage_name": "Research",
        "step": 0,
        "agent_type": "echo",
        "execution_id": execution,
    }
    second: dict[str, Any] = {
        **whose,
        "stage_index": 1,
        "stage_name": "Write",
        "step": 1,
        "agent_type": "echo",
        "execution_id": "second",
    }
    again = second | {"execution_id": "third", "epoch": 2}
    broke = {"error_type": "Boom", "error_message": "it broke"}
    events: list[r.Record] = [
        r.PipelineStarted(
            **whose, epoch=1, request_id="p1", name="report", stages=2, steps=2, metadata={"for": "bob"}
        ),
        r.StageStarted(**first, epoch=1),
        r.StageCompleted(**first, epoch=1, output="found", used_tokens=20),
        r.StageStarted(**second, epoch=1),
        r.StageFailed(**second, epoch=1, status="failed", used_tokens=5, **broke),
        r.PipelineFailed(
            **whose, epoch=1, failed_at_stage="Write", stage_index=1, error_type="Boom", error="it broke"
        ),
        r.PipelineRequestRefused(**whose, refused_event_id="x", reason="finished", detail="it has failed already"),
        r.PipelineResumed(**whose, epoch=2, step=1),
        r.StageStarted(**again),
        r.StageCompleted(**again, output="written", used_tokens=30),
        r.PipelineCompleted(**whose, epoch=2, output="written"),
    ]
    ids = (derived_id("pipeline event", tenant, n) for n in range(len(events)))
    told = [event.model_copy(update={"event_id": each}) for event, each in zip(events, ids, strict=True)]
    return told[: {"failed": 7, "resumed": 9, "completed": len(told)}[until]]
