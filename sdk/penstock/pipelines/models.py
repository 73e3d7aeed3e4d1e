"""What the client returns about pipelines."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from penstock.models import Value
from penstock.money import usd_text
from penstock_schemas.records import PayloadRef


class StartedPipeline(Value):
    """A request to start or resume a pipeline that Kafka has acknowledged."""

    pipeline_id: str
    """hash(tenant_id, request_id): the same request gives the same one."""
    tenant_id: str
    user_id: str | None = None
    request_id: str | None = None
    """Of the request that started it; None for a resumption."""
    event_id: str
    """Identity of this very record; a refusal names it."""
    events_offset: int
    """Nothing that this request led to lies before this offset of its partition of the pipelines' events."""
    named_by_caller: bool = False
    """The request id is the caller's own: an earlier request may have been answered already."""


class PipelineStage(Value):
    """One stage that was started."""

    stage_index: int
    """From 0, in the order of the definition."""
    name: str
    step: int
    """From 0; stages of one step run side by side."""
    agent_type: str
    status: str = "running"
    """running, completed, failed, timed_out, cancelled or rejected."""
    epoch: int = 1
    """In which run of the pipeline it was started last: 1, and one more with each resumption."""
    execution_id: str
    output: str | None = None
    output_ref: PayloadRef | None = None
    """Where the output is, when it is above 4 KiB: `client.output_of_stage` reads both."""
    used_tokens: int | None = None
    """Of all kinds; None while it runs, and where its worker did not say."""
    error_type: str | None = None
    error_message: str | None = None
    started_at: datetime
    finished_at: datetime | None = None
    cost_nanousd: int = 0
    """Charged so far, as far as loaded."""

    @property
    def cost_usd(self) -> str:
        """USD with six decimals, for display."""
        return usd_text(self.cost_nanousd)


class Pipeline(Value):
    """The state of a pipeline, without or with its stages."""

    pipeline_id: str
    tenant_id: str
    user_id: str | None = None
    request_id: str = ""
    name: str | None = None
    status: str = "running"
    """running, completed, failed or cancelled."""
    epoch: int = 1
    """1, and one more with each resumption."""
    stage_count: int = 0
    step_count: int = 0
    completed_stages: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)
    output: str | None = None
    output_ref: PayloadRef | None = None
    """Where the output is, when it is above 4 KiB: `client.pipeline_result` reads both."""
    failed_at_stage: str | None = None
    """Name of the first stage that failed; None once it is resumed."""
    error_type: str | None = None
    error: str | None = None
    reason: str | None = None
    """Why it was cancelled, in the words of whoever did."""
    used_tokens: int = 0
    """Of all kinds and of all runs of stages that have ended, as far as their workers said."""
    started_at: datetime
    finished_at: datetime | None = None
    cost_nanousd: int | None = None
    """Charged so far, as far as loaded; None in lists."""
    stages: tuple[PipelineStage, ...] = ()
    """Those that were started, in the order of the definition; empty in lists."""

    @property
    def cost_usd(self) -> str:
        """USD with six decimals, for display."""
        return usd_text(self.cost_nanousd or 0)
