"""Records of the executions stage: commands, dispatch, leases, and the life of one execution."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock_schemas.records.base import (
    ArtifactsRef,
    Epoch,
    HandedArtifacts,
    HistoryMessage,
    Id,
    Int32,
    Int64,
    Micros,
    PayloadRef,
    PreviousOutput,
    PreviousOutputsRef,
    Record,
)

NAMESPACE_V1 = "penstock.executions.v1"


class ExecutionRecord(Record):
    """Base of every record about one execution."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    execution_id: Id
    """`ids.execution_id(tenant_id, request_id)`."""


class Work(ExecutionRecord):
    """What an agent is asked to do; travels from admission to the worker unchanged."""

    request_id: Id
    user_id: str | None = None
    agent_type: str
    model: str | None = None
    input: str | None = None
    input_ref: PayloadRef | None = None
    max_tokens: Int64 | None = None
    timeout_s: Int32
    queue: str = "agents-default"
    tier: str = "free"
    """The tenant's at admission; decides what the run's sandbox may do."""
    metadata: dict[str, str] = Field(default_factory=dict)
    reserved_tokens: Int64 | None = None
    """What all calls of all attempts together may use, of all kinds; null is without limit."""
    conversation_id: str | None = None
    turn_number: Int64 | None = None
    history: list[HistoryMessage] = Field(default_factory=list)
    """The conversation's latest turns, oldest first."""
    pipeline_id: str | None = None
    stage_index: Int32 | None = None
    previous_outputs: list[PreviousOutput] = Field(default_factory=list)
    """What the stages before it answered, in their order."""
    previous_outputs_ref: PreviousOutputsRef | None = None
    """The same as a JSON array of such objects, where it is too large to be carried."""
    artifact_patterns: list[str] = Field(default_factory=list)
    """Files of the workspace that are kept when the agent has returned: shell patterns of their paths."""
    handed_artifacts: list[HandedArtifacts] = Field(default_factory=list)
    """Files that are put into the workspace before the agent starts."""


class StartExecution(Work):
    """Accounts: run this admitted execution."""

    max_attempts: Int32


class StopExecution(ExecutionRecord):
    """Accounts: end this admitted execution, whatever it is doing."""

    reason: str = ""
    requested_by: str
    """`event_id` of the CancelExecution."""


class ExecutionDispatched(Work):
    """A hint that an attempt may be claimed; the claim decides."""

    epoch: Epoch
    dispatch_seq: Int32
    """Counts repeats of the same attempt, from 1; each goes to the partition after the one before."""


class ClaimLease(ExecutionRecord):
    """Worker: let me run this attempt."""

    epoch: Epoch
    claim_id: Id
    worker_id: Id
    dispatch_seq: Int32 = 0


class HeldLease(BaseModel):
    """One lease a worker holds."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    execution_id: Id
    epoch: Epoch


class Heartbeat(Record):
    """Worker: what I hold of one partition. Routed to that partition."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    partition: Int32
    worker_id: Id
    heartbeat_seq: Int64
    leases: list[HeldLease]


class FinishAttempt(ExecutionRecord):
    """Worker: this attempt ended; sent after all its usage is acknowledged."""

    epoch: Epoch
    worker_id: Id
    status: Literal["completed", "failed", "timed_out", "cancelled", "handed_back"]
    output: str | None = None
    output_ref: PayloadRef | None = None
    error_type: str | None = None
    error_message: str | None = None
    retryable: bool = False
    last_seq: Int64
    used_tokens: Int64 | None = None
    """Tokens of all kinds that this attempt reported; null where the worker does not count them."""
    artifacts_ref: ArtifactsRef | None = None
    """The list of the files this attempt kept."""
    artifacts: Int32 = 0
    """How many files are in that list."""


class LifecycleEvent(ExecutionRecord):
    """Base of events that name the request as well as the execution."""

    request_id: Id
    user_id: str | None = None
    agent_type: str
    conversation_id: str | None = None
    """The conversation whose turn it is."""
    turn_number: Int64 | None = None
    pipeline_id: str | None = None
    """The pipeline whose stage it is."""
    stage_index: Int32 | None = None


class ExecutionAdmitted(LifecycleEvent):
    """Accounts admitted the execution."""

    model: str | None = None
    queue: str = "agents-default"
    tier: str
    timeout_s: Int32
    max_attempts: Int32


class ExecutionQueued(LifecycleEvent):
    """The tenant is at its concurrency; the execution waits in arrival order."""

    model: str | None = None
    queue: str = "agents-default"
    position: Int64


class ExecutionRejected(LifecycleEvent):
    """Accounts said no. `reason` is machine-readable, `detail` says what to do."""

    reason: str
    detail: str


class RequestRefused(ExecutionRecord):
    """Another request under a request_id that was already answered; the execution goes on untouched."""

    request_id: Id
    refused_event_id: str
    """`event_id` of the refused request: its sender knows itself by it."""
    reason: str
    detail: str


class CancelRefused(ExecutionRecord):
    """A request to cancel that changed nothing, because there is no such execution or it has ended."""

    refused_event_id: str
    """`event_id` of the CancelExecution: its sender knows itself by it."""
    reason: str
    detail: str


class AttemptEvent(ExecutionRecord):
    """Base of events about one attempt."""

    epoch: Epoch
    worker_id: str


class AttemptStarted(AttemptEvent):
    """A lease was granted; closes every earlier epoch."""

    deadline_at: Micros


class AttemptLost(AttemptEvent):
    """The lease ran out or was handed back."""

    reason: str


class AttemptFailed(AttemptEvent):
    """An attempt failed and another will follow."""

    error_type: str
    error_message: str
    retry_at: Micros


class StaleAttemptReported(AttemptEvent):
    """A result of an attempt that no longer counts; it changed nothing but the bill."""

    current_epoch: Int32
    status: str


class TerminalEvent(LifecycleEvent):
    """Base of the events that end an execution. The first one wins; there is no second."""

    epoch: Int32
    """The attempt that decided; 0 where none was started."""
    attempts: Int32
    last_seq: Int64
    """`seq` of the last progress record of that attempt; 0 where there is none."""


class ExecutionCompleted(TerminalEvent):
    """The accepted result."""

    output: str | None = None
    output_ref: PayloadRef | None = None
    artifacts_ref: ArtifactsRef | None = None
    """The list of the files the accepted attempt kept."""
    artifacts: Int32 = 0
    """How many files are in that list."""


class ExecutionFailed(TerminalEvent):
    """Failed for good."""

    error_type: str
    error_message: str


class ExecutionTimedOut(TerminalEvent):
    """The run deadline passed."""

    timeout_s: Int32


class ExecutionCancelled(TerminalEvent):
    """Ended because somebody asked for it."""

    reason: str = ""


class LeaseRecord(ExecutionRecord):
    """Base of the lease authority's answers about one attempt; routed by worker."""

    worker_id: Id
    epoch: Epoch


class LeaseGranted(LeaseRecord):
    """The worker may run the attempt."""

    claim_id: Id
    hold_ms: Int32
    """How long the lease lives without a confirmed heartbeat."""
    deadline_at: Micros


class LeaseDenied(LeaseRecord):
    """The worker may not run the attempt."""

    claim_id: Id
    reason: str


class LeaseRevoked(LeaseRecord):
    """Stop this attempt. With reason `cancelled` the lease lives on until the worker has reported the end."""

    reason: str


class LeaseConfirmed(Record):
    """A heartbeat was read; the leases it listed and that are not revoked live for another hold."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    worker_id: Id
    partition: Int32
    heartbeat_seq: Int64
    hold_ms: Int32 = 0
    """How long the confirmed leases live without another; 0 from a writer that does not say."""
