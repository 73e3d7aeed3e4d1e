"""The asynchronous client: everything another service does with Penstock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Self
from uuid import uuid4

from penstock.answers import Answers
from penstock.arguments import (
    BillArguments,
    BudgetArguments,
    CancelArguments,
    CorrectionArguments,
    ListArguments,
    MonthArguments,
    PriceArguments,
    RunArguments,
    SettlementArguments,
    SpendArguments,
    TenantArguments,
    UsageArguments,
    UserArguments,
    checked,
    checked_price,
)
from penstock.artifacts import ArtifactStore
from penstock.billing import Billing
from penstock.broadcasting import Broadcasting
from penstock.cancelling import Cancelling
from penstock.connecting import KafkaConnection
from penstock.conversation_calls import ConversationCalls
from penstock.conversation_reading import ConversationReading
from penstock.conversing import Conversing
from penstock.dead_letters import DeadLetters
from penstock.encoding import Encoding
from penstock.followed import Item, Terminal
from penstock.following import Following
from penstock.history import History
from penstock.leasing import Leasing
from penstock.models import (
    Adjustment,
    BudgetCheck,
    Cursor,
    Execution,
    Lease,
    Price,
    Submission,
    Tenant,
    UnresolvedCall,
    UserBudget,
)
from penstock.outcome import output_of, state_of
from penstock.periods import Periods
from penstock.pipelines.calls import PipelineCalls
from penstock.pipelines.reading import PipelineReading
from penstock.pipelines.running import Pipelining
from penstock.prices import Prices
from penstock.reading import Reading
from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock.statements import Bill, SpendSummary
from penstock.submitting import Submitting
from penstock.tenants import Tenants
from penstock.usage import Usage
from penstock.view import Follow
from penstock_schemas import records as r
from penstock_schemas.topics import DEFAULT_QUEUE

REMEMBERED_SUBMISSIONS = 10_000
"""Of the newest the client knows where following starts; older ones are followed from their history."""


class Client(ConversationCalls, PipelineCalls):
    """Submits, follows and reads. Use as an async context manager; connects on first use.

    Any call may raise `KafkaUnreachable`, `RegistryUnreachable` or `ClickHouseUnreachable`, each with the
    address and the setting that names it, once that server has not answered for `answer_within_s`.

    Args:
        kafka: where the cluster is; like the others, read from `PENSTOCK_*` or a running stack if left out.
        registry: where the schema registry is.
        clickhouse: where ClickHouse is.
        artifacts: where payloads above 32 KiB are kept.
        answer_within_s: how long any one server may keep a call waiting.
    """

    def __init__(
        self,
        *,
        kafka: KafkaSettings | None = None,
        registry: RegistrySettings | None = None,
        clickhouse: ClickHouseSettings | None = None,
        artifacts: ArtifactSettings | None = None,
        answer_within_s: float = 10.0,
    ) -> None:
        url = (artifacts or ArtifactSettings()).url
        self._payloads = ArtifactStore(url) if url else None
        self._kafka = KafkaConnection(kafka or KafkaSettings(), answer_within_s)
        self._encoding = Encoding((registry or RegistrySettings()).url, answer_within_s)
        self._reading = Reading(clickhouse or ClickHouseSettings(), answer_within_s)
        self._billing = Billing(self._reading)
        self._submitting = Submitting(self._kafka, self._encoding, self._payloads)
        self._following = Following(self._kafka, self._encoding, History(self._reading, self._kafka))
        self._cancelling = Cancelling(self._submitting, self._following)
        self._leasing = Leasing(self._kafka, self._encoding)
        self._conversations = ConversationReading(self._reading)
        self._conversing = Conversing(self._kafka, self._encoding, self._submitting, self._conversations)
        self._pipelines = PipelineReading(self._reading)
        self._pipelining = Pipelining(self._kafka, self._encoding, self._submitting, self._pipelines)
        answers, broadcasting = Answers(self._kafka, self._encoding), Broadcasting(self._kafka, self._encoding)
        self._tenants = Tenants(self._submitting, answers)
        self._prices = Prices(answers, broadcasting)
        self._periods = Periods(answers, broadcasting)
        self._usage = Usage(self._submitting, answers, self._reading)
        self.dead_letters = DeadLetters(self._kafka, self._encoding, self._reading)
        self._submitted: OrderedDict[str, Submission] = OrderedDict()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self._kafka, self._encoding, self._reading, self._following):  # closed in reverse
            self._open.push_async_callback(part.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def submit(
        self,
        agent: str,
        input: str,
        *,
        tenant: str,
        request_id: str | None = None,
        user: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        timeout_s: int | None = None,
        max_attempts: int | None = None,
        reserve_tokens: int | None = None,
        queue: str = DEFAULT_QUEUE,
        metadata: Mapping[str, str] | None = None,
    ) -> Submission:
        """Ask for one execution; returns once Kafka has acknowledged the request.

        Args:
            agent: name under which the agent is registered with the workers.
            input: text; above 32 KiB it goes to the artifact store, where one is configured.
            tenant: who pays.
            request_id: your own id, unique within the tenant: the same request sent twice is answered once.
            user: the tenant's user; without one the tenant itself.
            model: asks the agent for this model.
            max_tokens: ceiling of output tokens over the whole execution.
            timeout_s: run deadline in seconds, from the start of an attempt.
            max_attempts: attempts in all.
            reserve_tokens: tokens of all kinds that all calls and attempts may use together; the default is for
                one call. What is reserved must fit the budgets of tenant and user.
            queue: which workers.
            metadata: your own labels, carried along.

        Raises:
            InvalidInput: an argument cannot be used; nothing was sent.
            PayloadTooLarge: input above 256 KiB and no artifact store.
        """
        run = checked(
            RunArguments,
            tenant=tenant,
            agent=agent,
            input=input,
            request_id=str(uuid4()) if request_id is None else request_id,
            user=user,
            model=model,
            max_tokens=max_tokens,
            timeout_s=timeout_s,
            max_attempts=max_attempts,
            reserve_tokens=reserve_tokens,
            queue=queue,
            metadata=dict(metadata or {}),
        )
        submission = await self._submitting.submit(run, named_by_caller=request_id is not None)
        self._remember(submission)
        return submission

    def _remember(self, submission: Submission) -> None:
        self._submitted[submission.execution_id] = submission
        if len(self._submitted) > REMEMBERED_SUBMISSIONS:
            self._submitted.popitem(last=False)

    def follow(
        self, execution_id: str, *, from_cursor: Cursor | None = None, timeout_s: float | None = None
    ) -> Follow:
        """The records of one execution as they happen, ending after its terminal event and last progress.

        An execution this client submitted is followed live from its request on. Any other begins with its
        history from ClickHouse and goes on live, without a gap or a repeat. Progress that can no longer be read
        appears as a `ProgressGap` in its place.

        `Follow.cursor` says after every record where to go on: given as `from_cursor`, to this client or any
        other, it yields exactly what came after, out of ClickHouse where Kafka no longer has it. A cursor made by
        hand, `Cursor(epoch=2, seq=40)`, leaves out the progress up to there, and shows every lifecycle event.

        All followers of a client share one Kafka consumer; a second one is there while any of them is behind. One
        that does not take its records holds up no other.

        Raises:
            NotFound: no such execution.
            FollowTimeout: it did not end within `timeout_s` seconds.
        """
        if from_cursor is not None:
            return self._following.since(execution_id, from_cursor, timeout_s)
        if submission := self._submitted.get(execution_id):
            return self._following.submitted(submission, timeout_s)
        return self._following.known(execution_id, timeout_s)

    async def result(self, execution_id: str, *, timeout_s: float | None = None) -> str:
        """Wait for an execution to end and return its output text.

        Raises:
            RequestRejected: accounts said no; `reason` says why.
            ExecutionFailedError, ExecutionTimedOutError, ExecutionCancelledError: it ended without a result.
            FollowTimeout: it did not end within `timeout_s` seconds.
        """
        ending: Item | None = None
        async with aclosing(self.follow(execution_id, timeout_s=timeout_s)) as records:
            async for record in records:
                ending = record if self.settles(record) else ending
        assert isinstance(ending, r.Record), "following ends only after a record that settles it"
        return await self.output_of(ending)

    def settles(self, record: Item) -> bool:
        """Whether `record` says for good what became of its execution, or of this client's request for it."""
        if isinstance(record, r.RequestRefused):
            submission = self._submitted.get(record.execution_id)
            return submission is not None and submission.event_id == record.refused_event_id
        return isinstance(record, Terminal)

    async def output_of(self, ending: r.Record) -> str:
        """The output text of a record that ended an execution; see `result` for what it raises."""
        return await output_of(ending, self._payloads)

    async def get(self, execution_id: str) -> Execution:
        """The state of one execution as of now: what ClickHouse has, and what it has not loaded yet from Kafka.

        Raises:
            NotFound: no such execution.
        """
        records = await self._following.until_now(execution_id)
        return state_of(records, await self._reading.cost_nanousd(execution_id))

    async def cancel(self, execution_id: str, *, reason: str = "", tenant: str | None = None) -> Execution:
        """End an execution before its result: while it is queued, waits for a worker, or runs.

        Returns its state once it has ended: `cancelled`, or `completed` where the result came first. A running
        agent is told at once and has a second to return.

        Args:
            reason: why, for everyone who follows it; 500 characters at most.
            tenant: whose execution it is, where the caller knows; saves a look at its records.

        Raises:
            NotFound: the tenant has no such execution.
            AlreadyEnded: it had ended before.
            NotConfirmed: it was asked for, and nothing has ended yet.
        """
        wanted = checked(CancelArguments, execution_id=execution_id, tenant=tenant, reason=reason)
        await self._cancelling.cancel(wanted)
        return await self.get(execution_id)

    async def lease(self, execution_id: str) -> Lease:
        """Who holds an execution, which attempt that is, and until when. For display and coordination; advisory.

        The events say who was granted the attempt; the time is one hold after the newest sign of life of that
        worker which the lease authority has confirmed. Hence, as of `Lease.as_of`:

        - A holder that died a second ago is still shown as the holder, for up to one hold (30 s by default) from
          its last heartbeat: nobody can know better, and nobody else is granted the attempt before either.
        - Once `until` has passed without renewal `is_locked` is False, though the attempt may not have been
          declared lost yet; a worker that is cut off has stopped by itself before.
        - The answer may be outdated when you read it. To act on it safely, name `epoch` in what you do and
          refuse older ones; do not use it as a lock.

        Costs a query to ClickHouse, a look at the two partitions of the execution, and reading at most the last
        ten minutes (as a rule one) of one partition of the leases topic. Broker and local clock should agree.

        Raises:
            NotFound: no such execution.
        """
        return await self._leasing.of(execution_id, await self._following.until_now(execution_id))

    async def list(
        self, tenant: str | None = None, status: str | None = None, limit: int = 50
    ) -> Sequence[Execution]:
        """Executions as far as ClickHouse has loaded them (about a second behind), newest first."""
        return await self._reading.executions(checked(ListArguments, tenant=tenant, status=status, limit=limit))

    async def bill(self, tenant: str, month: str | None = None, *, user: str | None = None) -> Bill:
        """A tenant's bill of the accounting month `YYYY-MM` (default: the current one, UTC), as far as loaded.

        Without charges it is all zeros. With `user`, only what is that user's.
        """
        period = datetime.now(UTC).strftime("%Y-%m") if month is None else month
        return await self._billing.bill(checked(BillArguments, tenant=tenant, month=period, user=user))

    async def spend(self, tenant: str, start: datetime, end: datetime, *, user: str | None = None) -> SpendSummary:
        """What calls cost that were made from `start` to before `end`, whichever month they are billed in."""
        wanted = checked(SpendArguments, tenant=tenant, start=start, end=end, user=user)
        return await self._billing.spend(wanted)

    async def tenants(self) -> Sequence[Tenant]:
        """Every configured tenant, as far as ClickHouse has loaded them."""
        return await self._reading.tenants()

    async def configure_tenant(
        self,
        tenant: str,
        *,
        tier: str,
        concurrency: int | None = None,
        queue_limit: int | None = None,
        suspended: bool = False,
        monthly_tokens: int | None = None,
        monthly_usd: str | Decimal | int | None = None,
        hard_budget: bool = True,
    ) -> Tenant:
        """Operator: create or change a tenant; returns its limits once accounts has put them in force.

        A limit left out is the tier's own; a budget left out is unlimited. A budget that is not hard refuses
        nothing and is reported as overspent.

        Raises:
            NotConfirmed: the command was sent, and accounts has not answered in time.
        """
        wanted = checked(
            TenantArguments,
            tenant=tenant,
            tier=tier,
            concurrency=concurrency,
            queue_limit=queue_limit,
            suspended=suspended,
            monthly_tokens=monthly_tokens,
            monthly_usd=monthly_usd,
            hard_budget=hard_budget,
        )
        return await self._tenants.configure(wanted)

    async def configure_user(
        self,
        tenant: str,
        user: str,
        *,
        monthly_tokens: int | None = None,
        monthly_usd: str | Decimal | int | None = None,
        hard_budget: bool = True,
    ) -> UserBudget:
        """Operator: set one user's budget, within their tenant's; one left out is unlimited.

        Raises:
            NotConfirmed: the command was sent, and accounts has not answered in time.
        """
        wanted = checked(
            UserArguments,
            tenant=tenant,
            user=user,
            monthly_tokens=monthly_tokens,
            monthly_usd=monthly_usd,
            hard_budget=hard_budget,
        )
        return await self._tenants.configure_user(wanted)

    async def check_budget(
        self, tenant: str, tokens: int, *, user: str | None = None, model: str | None = None
    ) -> BudgetCheck:
        """Whether a run that reserves `tokens` (of all kinds) would be admitted now. Reserves nothing.

        In dollars it counts as that many tokens of the model's dearest kind of output.

        Raises:
            NotConfirmed: accounts has not answered in time.
        """
        wanted = checked(BudgetArguments, tenant=tenant, tokens=tokens, user=user, model=model)
        return await self._tenants.check_budget(wanted)

    async def unresolved_calls(self, tenant: str | None = None) -> Sequence[UnresolvedCall]:
        """Calls that were started and never reported, oldest first, as far as ClickHouse has loaded them."""
        return await self._reading.unresolved_calls(tenant)

    async def settle_call(
        self,
        usage_id: str,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
    ) -> UnresolvedCall:
        """Operator: charge an unresolved call for what the provider says it used; zeros charge nothing.

        What was kept reserved for it is released. Twice the same changes nothing: a call is charged once.

        Raises:
            NotFound: no such call is unresolved.
        """
        usage = checked(
            SettlementArguments,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read_tokens,
            cache_write_tokens=cache_write_tokens,
        )
        return await self._usage.settle(usage_id, usage)

    async def correct_usage(
        self, usage_id: str, *, tenant: str | None = None, reason: str = "", **counts: int | None
    ) -> Adjustment:
        """Operator: book the difference between what a call was charged and what it truly used.

        The line is on the bill of the call's month, or of the first open one where that is closed. A call can be
        corrected as long as its usage_id is remembered: to the end of the month after the one it was reported in.

        Args:
            tenant: whose call it is; needed where several tenants have one of that id.
            counts: `input_tokens` and its like, of the whole call; those left out stay as they are.

        Raises:
            InvalidInput: a count cannot be used, or several tenants have a call of that id.
            NotFound: no such call is loaded.
            CommandRejected: accounts refused it, as `no_difference` or `awaits_price`; nothing was booked.
            NotConfirmed: the correction was sent, and accounts has not answered in time.
        """
        wanted = checked(CorrectionArguments, usage_id=usage_id, tenant=tenant, reason=reason, **counts)
        return await self._usage.correct(wanted)

    async def close_period(self, month: str) -> int:
        """Operator: seal a month, `YYYY-MM`, and every earlier one.

        Returns once all partitions of accounts have, and how many those are.

        What comes later and belongs to it is on the first open month's bill, as an adjustment.

        Raises:
            InvalidInput: no such month.
            CommandRejected: `not_over` or `already_closed`; nothing was closed.
            CommandInterrupted: another operator's command came in between; nothing was written.
            NotConfirmed: the command was sent, and accounts has not answered in time.
        """
        return await self._periods.close(checked(MonthArguments, month=month))

    async def prices(self) -> Sequence[Price]:
        """Every price an operator listed, by model and effective date, as far as ClickHouse has loaded them."""
        return await self._reading.prices()

    async def set_price(
        self,
        model: str,
        *,
        input_per_mtok: str | Decimal | int,
        output_per_mtok: str | Decimal | int,
        cache_read: str | Decimal | int | None = None,
        cache_write: str | Decimal | int | None = None,
        per_tool_call: str | Decimal | int = 0,
        per_cpu_second: str | Decimal | int = 0,
        per_gb_second: str | Decimal | int = 0,
        effective: datetime | None = None,
    ) -> Price:
        """Operator: list one price; returns it once all of accounts charges at it.

        Amounts are USD, exact to the nano-dollar; floats are refused. Token prices are per million tokens.

        Args:
            model: a name as it is reported, or the canonical one, for every name of the model.
            cache_read: without one, input read from the cache costs what input costs; `cache_write` likewise.
            effective: in force from here on, until a later price is; default: now. Usage that was quarantined for
                want of a price is charged if it happened after that.

        Raises:
            InvalidInput, PriceRejected, CommandInterrupted, NotConfirmed: as `set_prices`.
        """
        (price,) = await self.set_prices(
            [
                checked_price(
                    model=model,
                    input_per_mtok=input_per_mtok,
                    output_per_mtok=output_per_mtok,
                    cache_read=cache_read,
                    cache_write=cache_write,
                    per_tool_call=per_tool_call,
                    per_cpu_second=per_cpu_second,
                    per_gb_second=per_gb_second,
                    effective=datetime.now(UTC) if effective is None else effective,
                )
            ]
        )
        return price

    async def set_prices(self, prices: Sequence[PriceArguments]) -> Sequence[Price]:
        """Operator: list up to 1,000 prices, all or none; returns them once all of accounts charges at them.

        The same prices again change nothing.

        Raises:
            InvalidInput: none or too many; nothing was sent.
            PriceRejected: accounts refused one, and with it all.
            CommandInterrupted: another operator's command came in between; nothing was written.
            NotConfirmed: the command was sent, and accounts has not answered in time.
        """
        return await self._prices.list(prices)

    async def record_usage(
        self,
        *,
        tenant: str,
        usage_id: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        tool_calls: int = 0,
        sandbox_cpu_ms: int = 0,
        sandbox_gb_ms: int = 0,
        user: str | None = None,
        agent: str | None = None,
    ) -> None:
        """Report one provider call made outside Penstock; charged once per `usage_id`.

        The token buckets are disjoint, except that `reasoning_tokens` lie inside `output_tokens`.
        """
        usage = checked(
            UsageArguments,
            tenant=tenant,
            usage_id=usage_id,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read_tokens,
            cache_write_tokens=cache_write_tokens,
            reasoning_tokens=reasoning_tokens,
            tool_calls=tool_calls,
            sandbox_cpu_ms=sandbox_cpu_ms,
            sandbox_gb_ms=sandbox_gb_ms,
            user=user,
            agent=agent,
        )
        await self._usage.record(usage)
