"""What executions keeps: the immutable work, the small state that changes, and the leases by worker."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock_streams.kit import Row
from penstock_streams.work import Work

State = Literal["dispatched", "running", "retrying", "ended"]


class Execution(Row, frozen=True, tag="execution"):
    """Where one execution stands. Small, because every change of it is written whole."""

    tenant_id: str
    state: State
    epoch: int
    """The attempt that may be claimed or runs; the fencing token."""
    attempts: int = 0
    """Attempts that were granted and not handed back."""
    dispatch_seq: int = 1
    dispatched_at: int = 0
    """When the current epoch was first dispatched."""
    worker_id: str = ""
    claim_id: str = ""
    deadline_at: int = 0
    cancelled_because: str | None = None
    """Reason of a cancellation while it runs; whatever ends it now but a result is that cancellation."""


class Assignment(Row, frozen=True, tag="assignment"):
    """The work of an execution that has not ended."""

    work: Work


class Held(msgspec.Struct, frozen=True, array_like=True):
    """One lease."""

    execution_id: str
    epoch: int
    until: int
    """Microseconds; each confirmed heartbeat that lists it moves it one hold ahead."""
    stopping: bool = False
    """The worker has been told to stop it, and is told again with each heartbeat that lists it."""


class Leases(Row, frozen=True, tag="leases"):
    """The leases of one worker process in this partition; as many as it has slots, so it does not grow."""

    held: tuple[Held, ...] = ()
    timer_at: int = 0
    """When this row's timer is due; 0 where none is set. It is re-armed when it fires, not per heartbeat."""


class Pace(Row, frozen=True, tag="pace"):
    """How long the hints of one queue have lain of late before they were claimed."""

    waited_us: int


ROW_TYPES = (Execution, Assignment, Leases, Pace)


def execution_key(execution_id: str) -> str:
    return f"execution/{execution_id}"


def assignment_key(execution_id: str) -> str:
    return f"assignment/{execution_id}"


def leases_key(worker_id: str) -> str:
    return f"leases/{worker_id}"


def pace_key(queue: str) -> str:
    return f"pace/{queue}"
