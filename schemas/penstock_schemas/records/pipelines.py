"""Records of the pipelines stage. A pipeline is a sequence of steps; a step is one stage or several at once."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock_schemas.records.base import ArtifactsRef, Epoch, Id, Int32, Int64, PayloadRef, Record

NAMESPACE_V1 = "penstock.pipelines.v1"


class StageSpec(BaseModel):
    """One stage as its author wants it. The stage checks the rest and answers with a `PipelineRequestRefused`."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    name: str
    agent_type: str
    queue: str = "agents-default"
    model: str | None = None
    prompt_template: str | None = None
    """Null gives the first step the initial input, and every other `{previous_output}`."""
    max_attempts: Int32 | None = None
    timeout_s: Int32 | None = None
    max_tokens: Int64 | None = None
    """Ceiling of output tokens of the stage."""
    step: Int32
    """Its place in the sequence, from 0; stages of the same step run in parallel and follow each other here."""
    artifacts: bool = False
    """Hand the files it leaves to the next step."""
    artifact_patterns: list[str] = Field(default_factory=list)
    """Which of them: shell patterns of their paths; empty for all."""


class PipelineRecord(Record):
    """Base of every record about one pipeline."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    pipeline_id: Id
    """`ids.pipeline_id(tenant_id, request_id)`."""


class StartPipeline(PipelineRecord):
    """Run stages one after the other. The same `request_id` within a tenant is answered once."""

    user_id: Id | None = None
    request_id: Id
    name: str | None = None
    initial_input: str
    """Up to 256 KiB."""
    stages: list[StageSpec]
    metadata: dict[str, str] = Field(default_factory=dict)


class CancelPipeline(PipelineRecord):
    """End a pipeline before its result: what runs is stopped, what waits is not started."""

    user_id: Id | None = None
    """Who asks, one of the tenant's users; null is the tenant itself, whose pipelines all are."""
    reason: str = ""


class ResumePipeline(PipelineRecord):
    """Go on with a failed pipeline at the step that failed; what was completed is kept."""

    user_id: Id | None = None
    """As in CancelPipeline."""


class PipelineReserved(PipelineRecord):
    """Accounts: what all stages may cost together is reserved; they draw from it."""

    epoch: Epoch


class PipelineReservationRefused(PipelineRecord):
    """Accounts: nothing is reserved, so nothing starts."""

    epoch: Epoch
    reason: str
    detail: str


class FinishStage(PipelineRecord):
    """Executions and accounts: the execution of a stage ended, or was never admitted."""

    stage_index: Int32
    execution_id: Id
    status: Literal["completed", "failed", "timed_out", "cancelled", "rejected"]
    output: str | None = None
    output_ref: PayloadRef | None = None
    error_type: str = ""
    error_message: str = ""
    used_tokens: Int64 | None = None
    """Tokens of all kinds that the attempt which decided used; null where its worker did not say."""
    artifacts_ref: ArtifactsRef | None = None
    """The list of the files the accepted attempt kept."""


class WriteInputs(PipelineRecord):
    """Pipelines, to itself: put what stages are about to be told into the artifact store, and start them."""

    epoch: Epoch
    first: Int32
    """Index of the first stage."""
    end: Int32
    """Index after the last one; the same as `first` writes the pipeline's own output."""


class PipelineEvent(PipelineRecord):
    """Base of events about one pipeline of one tenant, maybe of one of its users."""

    user_id: str | None = None
    epoch: Epoch
    """1, and one more with each resumption."""


class PipelineStarted(PipelineEvent):
    """Its cost is reserved and its first step is about to start."""

    request_id: Id
    name: str | None = None
    stages: Int32
    """How many there are."""
    steps: Int32
    metadata: dict[str, str] = Field(default_factory=dict)


class PipelineResumed(PipelineEvent):
    """A failed pipeline goes on."""

    step: Int32
    """The step that is run again, but for its completed stages."""


class StageEvent(PipelineEvent):
    """Base of events about one stage."""

    stage_index: Int32
    """From 0, in the order of the definition."""
    stage_name: str
    step: Int32
    agent_type: str
    execution_id: str


class StageStarted(StageEvent):
    """The execution of a stage was asked for."""


class StageCompleted(StageEvent):
    """The accepted result of a stage."""

    output: str | None = None
    output_ref: PayloadRef | None = None
    """Output above 4 KiB."""
    used_tokens: Int64 | None = None


class StageFailed(StageEvent):
    """A stage ended without a result."""

    status: str
    """failed, timed_out, cancelled or rejected."""
    error_type: str
    error_message: str
    used_tokens: Int64 | None = None


class PipelineCompleted(PipelineEvent):
    """Every stage completed. The output is that of the last step."""

    output: str | None = None
    output_ref: PayloadRef | None = None


class PipelineFailed(PipelineEvent):
    """A stage failed, and nothing of the pipeline runs any more. It can be resumed."""

    failed_at_stage: str
    """Name of the first stage that failed."""
    stage_index: Int32
    error_type: str
    error: str


class PipelineCancelled(PipelineEvent):
    """Ended because somebody asked for it, and nothing of it runs any more."""

    reason: str


class PipelineRequestRefused(PipelineRecord):
    """A request that changed nothing. `reason` is machine-readable, `detail` says what to do."""

    user_id: str | None = None
    refused_event_id: str
    """`event_id` of the StartPipeline, CancelPipeline or ResumePipeline: its sender knows itself by it."""
    reason: str
    detail: str
