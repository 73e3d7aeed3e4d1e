"""What became of an execution: its state folded from its records, and its output. Pure but for fetching."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from penstock.artifacts import ArtifactStore
from penstock.errors import (
    ExecutionCancelledError,
    ExecutionFailedError,
    ExecutionTimedOutError,
    InvalidInput,
    RequestRejected,
)
from penstock.models import Execution
from penstock_schemas import records as r
from penstock_schemas.records.executions import TerminalEvent


async def output_of(ending: r.Record, payloads: ArtifactStore | None) -> str:
    """The output text of the record that ended an execution, fetched where it travels by reference.

    Raises:
        RequestRejected, ExecutionFailedError, ExecutionTimedOutError, ExecutionCancelledError: it ended without
            one.
        InvalidInput: the output is in an artifact store, and none is configured here.
        ArtifactStoreUnreachable, NotFound: the store does not give it.
    """
    match ending:
        case r.ExecutionCompleted(output_ref=None):
            return ending.output or ""
        case r.ExecutionCompleted(output_ref=r.PayloadRef() as ref):
            if payloads is None:
                raise InvalidInput(f"the output is kept at {ref.uri}; set PENSTOCK_ARTIFACTS_URL to read it")
            return (await payloads.get(ref)).decode()
        case r.ExecutionFailed():
            raise ExecutionFailedError(ending.execution_id, ending.error_type, ending.error_message)
        case r.ExecutionTimedOut():
            raise ExecutionTimedOutError(ending.execution_id, ending.timeout_s)
        case r.ExecutionCancelled():
            raise ExecutionCancelledError(ending.execution_id, ending.reason)
        case r.ExecutionRejected() | r.RequestRefused():
            raise RequestRejected(ending.reason, ending.detail)
    raise InvalidInput(f"{type(ending).__name__} does not end an execution")


def state_of(records: Sequence[r.Record], cost_nanousd: int) -> Execution:
    """The state of one execution after `records`: its lifecycle so far, in order, at least one."""
    first = records[0]
    fields: dict[str, Any] = {
        "execution_id": getattr(first, "execution_id", ""),
        "tenant_id": first.tenant_id,
        "requested_at": _time(first),
        "cost_nanousd": cost_nanousd,
    }
    for record in records:
        fields |= _changes(record)
    return Execution(**fields)


def _changes(record: r.Record) -> dict[str, Any]:
    match record:
        case r.ExecutionQueued():
            return _identity(record) | {"status": "queued", "model": record.model}
        case r.ExecutionAdmitted():
            return _identity(record) | {"status": "admitted", "model": record.model}
        case r.AttemptStarted():
            return {"status": "running", "attempts": record.epoch, "started_at": _time(record)}
        case r.AttemptLost() | r.AttemptFailed():
            return {"status": "admitted"}
        case r.ExecutionCompleted():
            names = ("output", "output_ref", "artifacts", "artifacts_ref")
            return _ended(record, "completed") | {name: getattr(record, name) for name in names}
        case r.ExecutionFailed():
            error = {"error_type": record.error_type, "error_message": record.error_message}
            return _ended(record, "failed") | error
        case r.ExecutionTimedOut():
            error = {"error_type": "timed_out", "error_message": f"run deadline of {record.timeout_s} s passed"}
            return _ended(record, "timed_out") | error
        case r.ExecutionCancelled():
            return _ended(record, "cancelled") | {"reason": record.reason or None}
        case r.ExecutionRejected():
            why = {"reason": record.reason, "error_message": record.detail}
            return _identity(record) | {"status": "rejected", "finished_at": _time(record)} | why
    return {}


def _ended(record: TerminalEvent, status: str) -> dict[str, Any]:
    return _identity(record) | {"status": status, "attempts": record.attempts, "finished_at": _time(record)}


def _identity(record: r.Record) -> dict[str, Any]:
    names = ("request_id", "user_id", "agent_type")
    return {name: getattr(record, name) for name in names}


def _time(record: r.Record) -> datetime:
    return datetime.fromtimestamp(record.occurred_at / 1_000_000, UTC)
