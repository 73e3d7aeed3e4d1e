"""The client's methods about usage and bills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from penstock.arguments import checked
from penstock.billing import Billing
from penstock.models import (
    Adjustment,
    UnresolvedCall,
)
from penstock.money_arguments import (
    BillArguments,
    CorrectionArguments,
    MonthArguments,
    SettlementArguments,
    SpendArguments,
    UsageArguments,
)
from penstock.periods import Periods
from penstock.reading import Reading
from penstock.statements import Bill, SpendSummary
from penstock.usage import Usage


class UsageCalls:
    """Part of `Client`."""

    _usage: Usage
    _billing: Billing
    _periods: Periods
    _reading: Reading

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

    async def bill(
        self, tenant: str, month: str | None = None, *, user: str | None = None, dearest: int | None = None
    ) -> Bill:
        """A tenant's bill of the accounting month `YYYY-MM` (default: the current one, UTC), as far as loaded.

        Without charges it is all zeros. With `user`, only what is that user's.

        Args:
            dearest: how many pipelines, and how many conversations, it names at most; `Bill.more` counts the rest.
                None names all.
        """
        period = datetime.now(UTC).strftime("%Y-%m") if month is None else month
        wanted = checked(BillArguments, tenant=tenant, month=period, user=user, dearest=dearest)
        return await self._billing.bill(wanted)

    async def spend(
        self, tenant: str, start: datetime, end: datetime, *, user: str | None = None, dearest: int | None = None
    ) -> SpendSummary:
        """What calls cost that were made from `start` to before `end`, whichever month they are billed in.

        `dearest` as of `bill`.
        """
        wanted = checked(SpendArguments, tenant=tenant, start=start, end=end, user=user, dearest=dearest)
        return await self._billing.spend(wanted)

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
