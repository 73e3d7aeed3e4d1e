"""Records of the accounts stage. Commands are imperative, events past tense."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from penstock_schemas.records.base import Epoch, Id, Int32, Int64, Micros, Name, PayloadRef, Record

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


class RecordUsage(ProviderCall):
    """Report the tokens of one provider call."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1


class UsageCharged(ProviderCall):
    """One ledger line: one call, one price, one rounding. `event_id` is the line_id."""

    NAMESPACE: ClassVar[str] = NAMESPACE_V1

    cost_nanousd: Int64
    price_version: str
    period: str
    """Accounting month, YYYY-MM, UTC."""
    usage_topic: str
    usage_partition: Int32
    usage_offset: Int64


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
