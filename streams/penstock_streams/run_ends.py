"""Telling whoever waits for an execution that it is over, in the transaction that ends it."""

from __future__ import annotations

from typing import Any

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.records.executions import LifecycleEvent
from penstock_schemas.traces import TraceContext
from penstock_streams.kit import Output


def run_ended(
    end: LifecycleEvent, *, used_tokens: int | None = None, trace: TraceContext | None = None
) -> list[Output]:
    """The FinishTurn or FinishStage of an execution that `end` ends; nothing where it is of neither.

    Args:
        used_tokens: of the attempt that decided, of all kinds.
        trace: the trace of the request, where the record that causes this is of another; None keeps that.
    """
    told = []
    about: dict[str, Any] = {
        "tenant_id": end.tenant_id,
        "execution_id": end.execution_id,
        "used_tokens": used_tokens,
    }
    if _is_id(end.conversation_id) and _is_id(end.user_id) and end.turn_number is not None:
        turn = {"conversation_id": end.conversation_id, "user_id": end.user_id, "turn_number": end.turn_number}
        finish_turn = r.FinishTurn.model_validate(about | turn | _how(end))
        told.append(Output(topics.CONVERSATIONS_COMMANDS, finish_turn))
    if _is_id(end.pipeline_id) and end.stage_index is not None:
        stage = {"pipeline_id": end.pipeline_id, "stage_index": end.stage_index}
        finish_stage = r.FinishStage.model_validate(about | stage | _how(end))
        told.append(Output(topics.PIPELINES_COMMANDS, finish_stage))
    return told if trace is None else [Output(output.topic, output.record, trace) for output in told]


def _is_id(text: str | None) -> bool:
    """Whether a record can be routed by it: whoever writes a request from outside may put anything there."""
    return text is not None and 1 <= len(text) <= 256


def _how(end: LifecycleEvent) -> dict[str, Any]:
    match end:
        case r.ExecutionCompleted():
            result = {"output": end.output, "output_ref": end.output_ref, "artifacts_ref": end.artifacts_ref}
            return {"status": "completed"} | result
        case r.ExecutionFailed():
            return {"status": "failed", "error_type": end.error_type, "error_message": end.error_message}
        case r.ExecutionTimedOut():
            message = f"the run deadline of {end.timeout_s} s passed"
            return {"status": "timed_out", "error_type": "timed_out", "error_message": message}
        case r.ExecutionCancelled():
            return {"status": "cancelled", "error_type": "cancelled", "error_message": end.reason}
        case r.ExecutionRejected():
            return {"status": "rejected", "error_type": end.reason, "error_message": end.detail}
    raise TypeError(f"{type(end).__name__} does not end an execution")
