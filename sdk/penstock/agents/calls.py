"""An agent's provider calls: announced before they are made, reported after, and bounded by what is reserved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from penstock.agents._records import now_us, valid
from penstock.agents.attempt import Attempt
from penstock.errors import InvalidInput, ReservationUsedUp
from penstock_schemas import records as r
from penstock_schemas.ids import usage_id

Reportable = r.ProgressRecord | r.StartCall | r.RecordUsage
"""What a run reports."""
Report = Callable[[Reportable], Awaitable[None]]
"""Takes one record of a run. Returns once it is on its way out of the agent's process; for a StartCall, once Kafka
has it."""

DISJOINT_BUCKETS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
UNBOUNDED_TOKENS = 10**12
"""The cap of a call that nothing bounds."""


class ProviderCall:
    """One call to a model's provider, between its announcement and its report.

    Attributes:
        cap_tokens: the most the call may use, of all kinds; pass the provider a `max_tokens` below it, less the
            input.
    """

    def __init__(self, call_seq: int, model: str, cap_tokens: int) -> None:
        self.call_seq = call_seq
        self.model = model
        self.cap_tokens = cap_tokens
        self.counts: dict[str, int] | None = None

    def used(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        tool_calls: int = 0,
        sandbox_cpu_ms: int = 0,
        sandbox_gb_ms: int = 0,
    ) -> None:
        """What the provider says the call used; buckets as in `AgentContext.record_usage`.

        A provider that refused the call and bills nothing is `used(0, 0)`.
        """
        counts = {
            "input_tokens": input_tokens,
            "cache_read_tokens": cache_read_tokens,
            "cache_write_tokens": cache_write_tokens,
            "output_tokens": output_tokens,
            "reasoning_tokens": reasoning_tokens,
            "tool_calls": tool_calls,
            "sandbox_cpu_ms": sandbox_cpu_ms,
            "sandbox_gb_ms": sandbox_gb_ms,
        }
        for name, count in counts.items():
            if count < 0:
                raise InvalidInput(f"{name} is {count}; a provider call cannot use less than 0")
        if reasoning_tokens > output_tokens:
            raise InvalidInput(f"reasoning_tokens {reasoning_tokens} are part of output_tokens, {output_tokens}")
        self.counts = counts


class ProviderCalls:
    """The calls of one attempt, numbered from 1."""

    def __init__(self, attempt: Attempt, report: Report) -> None:
        self._attempt = attempt
        self._report = report
        self._last_seq = 0
        self._used_tokens = 0

    @property
    def tokens_left(self) -> int | None:
        """What this attempt may still use; None where nothing bounds it."""
        reserved = self._attempt.reserved_tokens
        return None if reserved is None else max(reserved - self._used_tokens, 0)

    @asynccontextmanager
    async def call(self, model: str, max_tokens: int | None) -> AsyncIterator[ProviderCall]:
        """See `AgentContext.call`."""
        left = self.tokens_left
        if left == 0:
            reserved = self._attempt.reserved_tokens
            raise ReservationUsedUp(f"all {reserved} tokens that were reserved for this execution are used")
        bounds = [bound for bound in (left, max_tokens) if bound is not None]
        call = self.unannounced(model, min(bounds, default=UNBOUNDED_TOKENS))
        await self._report(
            valid(
                r.StartCall,
                event_id=f"{self._usage_id(call)}/start",
                tenant_id=self._attempt.tenant_id,
                occurred_at=now_us(),
                usage_id=self._usage_id(call),
                execution_id=self._attempt.execution_id,
                epoch=self._attempt.epoch,
                call_seq=call.call_seq,
                model=model,
                cap_tokens=call.cap_tokens,
            )
        )
        try:
            yield call
        finally:
            if call.counts is not None:
                await self.report(call)

    def unannounced(self, model: str, cap_tokens: int = UNBOUNDED_TOKENS) -> ProviderCall:
        """The next call, without a StartCall."""
        self._last_seq += 1
        return ProviderCall(self._last_seq, model, cap_tokens)

    async def report(self, call: ProviderCall) -> None:
        """Report what a call used; it is billed once."""
        attempt, counts = self._attempt, call.counts or {}
        await self._report(
            valid(
                r.RecordUsage,
                event_id=self._usage_id(call),
                tenant_id=attempt.tenant_id,
                occurred_at=now_us(),
                usage_id=self._usage_id(call),
                execution_id=attempt.execution_id,
                epoch=attempt.epoch,
                call_seq=call.call_seq,
                user_id=attempt.user_id,
                agent_type=attempt.agent_type,
                model=call.model,
                **counts,
            )
        )
        self._used_tokens += sum(counts.get(bucket, 0) for bucket in DISJOINT_BUCKETS)

    def _usage_id(self, call: ProviderCall) -> str:
        attempt = self._attempt
        return usage_id(attempt.tenant_id, attempt.execution_id, attempt.epoch, call.call_seq)
