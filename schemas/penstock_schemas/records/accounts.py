"""Records of the accounts stage. Commands are imperative, events past tense."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from penstock_schemas.records.base import (
    Epoch,
    HandedArtifacts,
    HistoryMessage,
    Id,
    Int32,
    Int64,
    Micros,
    Name,
    PayloadRef,
    PreviousOutput,
    PreviousOutputsRef,
    Record,
)

NAMESPACE_V1 = "penstock.accounts.v1"


class RequestExecution(Record):
    """Ask for one agent execution. The same `request_id` within a tenant is answered once.

    Only what routing and identity need is checked here; the rest (sizes, ranges, clock) is decided by
    accounts, which answers with a typed `ExecutionRejected` instead of a dead letter.
    """

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    request_id: Id
    user_id: str | None = None
    agent_type: str
    model: str | None = None
    input: str | None = None
    input_ref: PayloadRef | None = None
    max_tokens: Int64 | None = None
    """Ceiling of output tokens over the whole execution."""
    timeout_s: Int32 | None = None
    max_attempts: Int32 | None = None
    queue: str = "agents-default"
    metadata: dict[str, str] = Field(default_factory=dict)
    reserve_tokens: Int64 | None = None
    """Tokens of all kinds to reserve for all calls and attempts; null reserves for one call."""
    conversation_id: str | None = None
    """Set by conversations, as are the two below: the turn this answers, and what was said before it."""
    turn_number: Int64 | None = None
    history: list[HistoryMessage] = Field(default_factory=list)
    pipeline_id: str | None = None
    """Set by pipelines, as are the six below: which stage this is, and what it draws from."""
    stage_index: Int32 | None = None
    parent_reservation: str | None = None
    """`ids.pipeline_reservation_id(pipeline_id, epoch)`."""
    previous_outputs: list[PreviousOutput] = Field(default_factory=list)
    previous_outputs_ref: PreviousOutputsRef | None = None
    """The same as a JSON array of such objects, where it is too large to be carried."""
    artifact_patterns: list[str] = Field(default_factory=list)
    """Files of the workspace that are kept when the agent has returned: shell patterns of their paths."""
    handed_artifacts: list[HandedArtifacts] = Field(default_factory=list)
    """Files that are put into the workspace before the agent starts."""


class CancelExecution(Record):
    """End an execution before its result: while it is queued, waits for a worker, or runs."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    execution_id: Id
    reason: str = ""
    """Why, in the words of whoever asks."""


class ConfigureTenant(Record):
    """Operator: create or change a tenant. A null keeps the tier's own limit."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    tier: str
    concurrency: Int32 | None = None
    queue_limit: Int32 | None = None
    suspended: bool = False
    monthly_tokens: Int64 | None = None
    """Null is without limit, as is a null below."""
    monthly_nanousd: Int64 | None = None
    hard_budget: bool = True
    """Refuse what does not fit; otherwise it runs, and is reported as overspent."""


class ConfigureUser(Record):
    """Operator: a budget of one user within their tenant's. Nulls are without limit."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    user_id: Id
    monthly_tokens: Int64 | None = None
    monthly_nanousd: Int64 | None = None
    hard_budget: bool = True


class CheckBudget(Record):
    """Ask whether a run of this size would be admitted now. Reserves nothing."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    user_id: str | None = None
    model: str | None = None
    tokens: Int64


class ModelNeed(BaseModel):
    """What the stages of one model want to use together."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    model: str | None = None
    stages: Int32
    """How many they are."""
    input_tokens: Int64
    output_tokens: Int64


class ReservePipeline(Record):
    """Pipelines: reserve what all stages may use; the answer is PipelineReserved or PipelineReservationRefused."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    pipeline_id: Id
    epoch: Epoch
    user_id: str | None = None
    needs: list[ModelNeed]
    """One per model."""


class ReleasePipeline(Record):
    """Pipelines: nothing of it runs any more; what is left of its reservation is free."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    pipeline_id: Id
    epoch: Epoch


class SettleExecution(Record):
    """Executions: an execution ended, its slot is free."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    execution_id: Id
    status: str
    accepted_epoch: Int32 | None = None


class TenantConfigured(Record):
    """A tenant's limits, as they are in force from now on."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    tier: str
    concurrency: Int32
    queue_limit: Int32
    suspended: bool
    monthly_tokens: Int64 | None = None
    monthly_nanousd: Int64 | None = None
    hard_budget: bool = True


class UserConfigured(Record):
    """A user's budget, as it is in force from now on."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    user_id: str
    monthly_tokens: Int64 | None = None
    monthly_nanousd: Int64 | None = None
    hard_budget: bool = True


class BudgetChecked(Record):
    """The answer to CheckBudget, true at the moment it was given."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    asked_event_id: str
    """`event_id` of the CheckBudget."""
    user_id: str | None = None
    admitted: bool
    reason: str = ""
    """As of an ExecutionRejected."""
    detail: str = ""
    tokens_left: Int64 | None = None
    """What a new run may reserve, the tighter one of tenant and user; negative where overspent, null unlimited."""
    nanousd_left: Int64 | None = None
    resets_at: Micros
    """When the month's spending starts at 0 again."""


class BudgetThresholdReached(Record):
    """Spending of this month reached 50, 80 or 100 % of a limit."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    user_id: str | None = None
    """Whose limit; null is the tenant's own."""
    period: str
    unit: str
    """`tokens` or `nanousd`."""
    percent: Int32
    spent: Int64
    budget: Int64


class ProviderCall(Record):
    """Fields shared by every record about one provider call. Token buckets are disjoint."""

    usage_id: Id
    execution_id: str | None = None
    epoch: Epoch | None = None
    call_seq: Int32 | None = None
    user_id: str | None = None
    agent_type: Name | None = None
    model: Id
    input_tokens: Int64
    cache_read_tokens: Int64 = 0
    cache_write_tokens: Int64 = 0
    output_tokens: Int64
    """Reasoning included."""
    reasoning_tokens: Int64 = 0
    """Inside `output_tokens`."""
    tool_calls: Int64 = 0
    sandbox_cpu_ms: Int64 = 0
    sandbox_gb_ms: Int64 = 0
    """Gigabytes of memory times milliseconds."""


COUNTS = (
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("tool_calls", "sandbox_cpu_ms", "sandbox_gb_ms"),
)
"""Everything a ProviderCall counts, by field; the order in which accounts keeps them."""


class RecordUsage(ProviderCall):
    """Report the tokens of one provider call."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1


class StartCall(Record):
    """Worker: a provider call is about to be made. Acknowledged before it is, so that no call goes unseen."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    usage_id: Id
    execution_id: Id
    epoch: Epoch
    call_seq: Int32
    model: Id
    cap_tokens: Int64
    """The most the call may use, of all kinds."""


class UsageUnresolved(Record):
    """A call whose report never came, and whose execution has ended: what it may have cost stays reserved."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    usage_id: Id
    execution_id: Id
    epoch: Epoch
    call_seq: Int32
    user_id: str | None = None
    agent_type: str = ""
    model: Id
    cap_tokens: Int64
    reserved_tokens: Int64
    reserved_nanousd: Int64


class SpendWasted(Record):
    """What an ended execution spent in attempts whose result was not accepted; on the bill already."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    execution_id: Id
    user_id: str | None = None
    agent_type: str = ""
    period: str
    wasted_tokens: Int64
    wasted_nanousd: Int64


class UsageCharged(ProviderCall):
    """One ledger line: one call, one price, one rounding. `event_id` is the line_id."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    wasted: bool = False
    """Reported after its execution ended with the result of another attempt, or with none."""
    cost_nanousd: Int64
    price_version: str
    period: str
    """Accounting month, YYYY-MM, UTC."""
    usage_topic: str
    usage_partition: Int32
    usage_offset: Int64
    adjusts_period: str | None = None
    """The month the call belongs to, where that was closed already: the line is on the first open month's bill."""


class CorrectUsage(ProviderCall):
    """Operator: a call that was reported truly was so. Who made it and its model are as they were reported."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    reason: str = ""
    """Why, in the words of whoever asks."""


class ChargeAdjusted(ProviderCall):
    """A ledger line that corrects what one call was charged. All counts are differences, and so is the cost."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    corrected_by: str
    """`event_id` of the CorrectUsage."""
    reason: str = ""
    wasted: bool = False
    cost_nanousd: Int64
    price_version: str
    """The price the call as corrected was charged at."""
    period: str
    """Accounting month, YYYY-MM, UTC."""
    adjusts_period: str | None = None
    """As of a UsageCharged."""
    usage_topic: str
    """Where the CorrectUsage is."""
    usage_partition: Int32
    usage_offset: Int64


class CorrectionRefused(Record):
    """A CorrectUsage changed nothing, and why."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    refused_event_id: str
    usage_id: Id
    reason: str
    detail: str


class UsageQuarantined(ProviderCall):
    """Usage that cannot be charged now; it is on no bill until it is settled."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    reason: str
    detail: str
    period: str
    usage_topic: str
    usage_partition: Int32
    usage_offset: Int64


class ListedPrice(BaseModel):
    """What an operator asks for one model from one moment on. Token prices are nano-USD per million tokens."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    model: Id
    effective_from: Micros
    input_nanousd_per_mtok: Int64
    cache_read_nanousd_per_mtok: Int64
    cache_write_nanousd_per_mtok: Int64
    output_nanousd_per_mtok: Int64
    tool_call_nanousd: Int64 = 0
    cpu_second_nanousd: Int64 = 0
    gb_second_nanousd: Int64 = 0


class ListPrice(Record):
    """Operator: these prices hold, all of them or none. One copy for every partition, written at once."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    partition: Int32
    prices: list[ListedPrice]


class PriceListed(Record):
    """A price is in force in one partition, for whatever that partition decides after this record."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    partition: Int32
    listed_by: str
    """`event_id` of the ListPrice."""
    price_version: str
    model: str
    effective_from: Micros
    input_nanousd_per_mtok: Int64
    cache_read_nanousd_per_mtok: Int64
    cache_write_nanousd_per_mtok: Int64
    output_nanousd_per_mtok: Int64
    tool_call_nanousd: Int64
    cpu_second_nanousd: Int64
    gb_second_nanousd: Int64


class PriceRefused(Record):
    """A ListPrice changed nothing in one partition; the price that could not be listed, and why."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    partition: Int32
    refused_event_id: str
    model: str
    effective_from: Micros
    reason: str
    detail: str


class ClosePeriod(Record):
    """Operator: seal a month, and every earlier one. One copy for every partition, written at once."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    partition: Int32
    period: str
    """YYYY-MM, UTC."""


class PeriodClosed(Record):
    """A month is closed in one partition, for whatever that partition decides after this record."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    partition: Int32
    closed_by: str
    """`event_id` of the ClosePeriod."""
    period: str


class PeriodCloseRefused(Record):
    """A ClosePeriod changed nothing in one partition, and why."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    partition: Int32
    refused_event_id: str
    period: str
    reason: str
    detail: str
