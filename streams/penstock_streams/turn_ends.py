"""Telling conversations that the execution of a turn is over, in the transaction that ends it."""

from __future__ import annotations

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.records.executions import LifecycleEvent
from penstock_schemas.traces import TraceContext
from penstock_streams.kit import Output


def turn_ended(
    end: LifecycleEvent, *, used_tokens: int | None = None, trace: TraceContext | None = None
) -> list[Output]:
    """The FinishTurn of an execution that `end` ends; nothing where it answers no conversation.

    Args:
        used_tokens: of the attempt that decided, of all kinds.
        trace: the trace of the request, where the record that causes this is of another; None keeps that.
    """
    if end.conversation_id is None or end.turn_number is None or end.user_id is None:
        return []
    fields: dict[str, object] = {}
    match end:
        case r.ExecutionCompleted():
            fields = {"status": "completed", "output": end.output, "output_ref": end.output_ref}
        case r.ExecutionFailed():
            fields = {"status": "failed", "error_type": end.error_type, "error_message": end.error_message}
        case r.ExecutionTimedOut():
            message = f"the run deadline of {end.timeout_s} s passed"
            fields = {"status": "timed_out", "error_type": "timed_out", "error_message": message}
        case r.ExecutionCancelled():
            fields = {"status": "cancelled", "error_type": "cancelled", "error_message": end.reason}
        case r.ExecutionRejected():
            fields = {"status": "rejected", "error_type": end.reason, "error_message": end.detail}
        case _:
            raise TypeError(f"{type(end).__name__} does not end an execution")
    finish = r.FinishTurn.model_validate(
        {
            "tenant_id": end.tenant_id,
            "conversation_id": end.conversation_id,
            "user_id": end.user_id,
            "execution_id": end.execution_id,
            "turn_number": end.turn_number,
            "used_tokens": used_tokens,
            **fields,
        }
    )
    to = topics.CONVERSATIONS_COMMANDS
    return [Output(to, finish) if trace is None else Output(to, finish, trace)]
