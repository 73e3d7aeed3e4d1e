"""What the client returns: plain frozen values. Money is integer nano-USD; dollars are for display."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from penstock.money import usd_text
from penstock_schemas.records import PayloadRef


class Value(BaseModel):
    """Base of everything the client returns."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64")


class Cursor(Value):
    """Where to follow on: what has been seen of one execution, and from where the rest is found.

    Plain numbers, to be kept anywhere. The partitions themselves follow from the execution's id.
    """

    epoch: int = 0
    seq: int = 0
    """Progress up to and with (epoch, seq) has been seen; (0, 0) for none."""
    events_offset: int | None = None
    """Next offset of the lifecycle events; None to see them from the first on, out of the history."""
    progress_offset: int | None = None
    """No progress after (epoch, seq) lies before this offset; None as above."""
    attempt: int = 0
    """The newest attempt whose start has been seen."""
    attempt_at_ms: int = 0
    """When Kafka had that start, in ms since the epoch; progress of earlier attempts after it is a zombie's."""
    last_seq: int | None = None
    """Set once the terminal event has been seen: the `seq` of the last progress of `attempt`."""


class ProgressGap(Value):
    """Progress that a follower will not see, in its place in the sequence.

    Removed by retention before it was read, or lost with its worker before Kafka had it.
    """

    execution_id: str
    epoch: int
    from_seq: int
    to_seq: int
    """The last one missing."""


class Lease(Value):
    """Who holds an execution, as far as a reader can know. Advisory: see `Client.lease`."""

    execution_id: str
    is_locked: bool
    """A holder was heard of within the last hold, as of `as_of`."""
    worker_id: str | None = None
    """`host:pid:boot` of the process that holds it, or was the last known to while `until` has passed; None where
    no attempt runs."""
    epoch: int = 0
    """The attempt that runs, or the newest one that did; the fencing token. 0 where none was started."""
    until: datetime | None = None
    """When the lease ends unless it is renewed; None where no grant or heartbeat of the holder was found."""
    as_of: datetime


class Submission(Value):
    """A request that Kafka has acknowledged."""

    execution_id: str
    """hash(tenant_id, request_id): the same request gives the same one."""
    tenant_id: str
    request_id: str
    event_id: str
    """Identity of this very record; a `RequestRefused` names it."""
    cursor: Cursor
    """Captured before the request was sent, so nothing about it lies before."""
    named_by_caller: bool = False
    """The request id is the caller's own: an earlier submission may already have been answered."""


class Execution(Value):
    """The state of one execution."""

    execution_id: str
    tenant_id: str
    status: str = "running"
    """queued, admitted, running, completed, failed, timed_out, cancelled or rejected."""
    request_id: str = ""
    user_id: str | None = None
    agent_type: str = ""
    model: str | None = None
    attempts: int = 0
    """Attempts that were started."""
    output: str | None = None
    output_ref: PayloadRef | None = None
    """Where the output is, when it is above 32 KiB."""
    artifacts: int = 0
    """How many files the accepted attempt kept; `Client.artifacts` lists them."""
    artifacts_ref: PayloadRef | None = None
    """Where that list is."""
    error_type: str | None = None
    error_message: str | None = None
    reason: str | None = None
    """Why it was rejected, as a code (`error_message` says more), or cancelled, in the words of whoever did."""
    requested_at: datetime
    """When accounts answered the request."""
    started_at: datetime | None = None
    """When the latest attempt started."""
    finished_at: datetime | None = None
    cost_nanousd: int = 0
    """What has been charged for it so far, as far as ClickHouse has loaded it."""

    @property
    def cost_usd(self) -> str:
        """USD with six decimals, for display."""
        return usd_text(self.cost_nanousd)


class Tenant(Value):
    """A tenant's limits in force."""

    tenant_id: str
    tier: str
    concurrency: int
    """Executions admitted at once."""
    queue_limit: int
    """Executions that may wait."""
    suspended: bool
    monthly_tokens: int | None = None
    """Tokens of all kinds in a month; None without limit."""
    monthly_nanousd: int | None = None
    hard_budget: bool = True
    """What does not fit is refused; otherwise it runs, and is reported as overspent."""


class UserBudget(Value):
    """A user's budget in force, within their tenant's."""

    tenant_id: str
    user_id: str
    monthly_tokens: int | None
    monthly_nanousd: int | None
    hard_budget: bool


class UnresolvedCall(Value):
    """A provider call that was started and never reported; what it may have cost stays reserved."""

    tenant_id: str
    usage_id: str
    execution_id: str
    epoch: int
    call_seq: int
    user_id: str | None
    agent_type: str
    model: str
    occurred_at: datetime
    """When its execution ended without a report."""
    cap_tokens: int
    """The most it may have used, of all kinds."""
    reserved_tokens: int
    """What stays reserved for it."""
    reserved_nanousd: int


class ReportedCall(Value):
    """A provider call that was reported, as it was charged so far: the fields of a correction."""

    tenant_id: str
    usage_id: str
    execution_id: str | None
    epoch: int | None
    call_seq: int | None
    user_id: str | None
    agent_type: str | None
    model: str
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    tool_calls: int
    sandbox_cpu_ms: int
    sandbox_gb_ms: int


class Adjustment(Value):
    """A ledger line that corrects what a call was charged; the first one of a call that was in quarantine."""

    line_id: str
    tenant_id: str
    usage_id: str
    period: str
    """Whose bill it is on, YYYY-MM."""
    adjusts_period: str | None
    """The month the call belongs to, where that was closed already."""
    cost_nanousd: int
    """The difference; negative where the tenant gets money back."""
    price_version: str

    @property
    def cost_usd(self) -> str:
        """USD with six decimals, for display."""
        return usd_text(self.cost_nanousd)


class BudgetCheck(Value):
    """Whether a run of some size would be admitted, as of when it was asked. Nothing was reserved."""

    tenant_id: str
    user_id: str | None
    admitted: bool
    reason: str
    """Why not, as of a rejected request; empty where it would be."""
    detail: str
    tokens_left: int | None
    """What a new run may reserve, the tighter one of tenant and user; negative where overspent, None unlimited."""
    nanousd_left: int | None
    resets_at: datetime
    """When the month's spending starts at 0 again."""


class Price(Value):
    """An operator's price of one model, from one moment on. Token prices are nano-USD per million tokens."""

    model: str
    version: str
    """Names it on ledger lines."""
    effective_from: datetime
    """In force until a later one is."""
    input_nanousd_per_mtok: int
    cache_read_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    tool_call_nanousd: int
    cpu_second_nanousd: int
    gb_second_nanousd: int


class DeadLetterEntry(Value):
    """A record that could not be used, where it was and why."""

    event_id: str
    tenant_id: str
    occurred_at: datetime
    source_topic: str
    source_partition: int
    source_offset: int
    error_code: str
    error_message: str
    stage: str
    value_size: int
    """Bytes of the whole value; `value` holds at most the first 64 KiB."""
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    @property
    def coordinates(self) -> str:
        """Topic, partition and offset of the record, for display."""
        return f"{self.source_topic}/{self.source_partition}/{self.source_offset}"

    @property
    def complete(self) -> bool:
        """Whether every byte of the value was kept, so that it can be replayed."""
        return self.value is not None and len(self.value) == self.value_size


class Replay(Value):
    """Where a dead letter was written to."""

    event_id: str
    topic: str
    partition: int
    offset: int


def moment_of(us: int) -> datetime:
    """Microseconds since the epoch as a moment, exactly."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
