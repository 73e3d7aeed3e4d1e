"""From one report of usage to one ledger line, or to quarantine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from penstock_schemas.records import ChargeAdjusted, RecordUsage, UsageCharged, UsageQuarantined
from penstock_schemas.records.accounts import COUNTS, ProviderCall
from penstock_services.pricing import Price, Tokens, Units, cost_nanousd
from penstock_streams.accounts import model as m
from penstock_streams.accounts.closing import accounted_in, open_since
from penstock_streams.accounts.origin import origin_of
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.prices import price_at
from penstock_streams.accounts.validation import CLOCK_AHEAD_US, CLOCK_BEHIND_US
from penstock_streams.kit import Event, Rows
from penstock_streams.timing import month_start_us, period_of

MAX_CALL_TOKENS = 10**12
"""Per count and call; above it the number is a mistake, and a bill with it would be one too."""
MAX_COST_NANOUSD = (1 << 63) - 1
"""What a ledger line can hold, some nine billion dollars."""


def accounted_at_us(occurred_us: int, received_us: int) -> int:
    """The moment that decides a call's month and price: when it happened if the clock is credible, else when it
    arrived."""
    credible = -CLOCK_BEHIND_US <= occurred_us - received_us <= CLOCK_AHEAD_US
    return occurred_us if credible else received_us


def remembered_until_us(occurred_us: int, received_us: int) -> int:
    """From here on a resent report of the same call is `too_old`, so its usage_id may be forgotten."""
    return month_start_us(max(occurred_us, received_us), 2)


def charge(rows: Rows, policy: Policy, usage: RecordUsage, event: Event) -> UsageCharged | UsageQuarantined:
    """The ledger line for a report not seen before.

    Whatever cannot be charged now is quarantined, never dropped and never charged at $0.
    """
    at_us = accounted_at_us(usage.occurred_at, event.timestamp)
    accounted = accounted_in(rows, period_of(at_us))
    call = usage.model_dump(exclude={"event_id", "occurred_at"})
    call |= {
        "occurred_at": usage.occurred_at,
        "period": accounted.period,
        "usage_topic": event.topic,
        "usage_partition": event.partition,
        "usage_offset": event.offset,
        **origin_of(rows, usage.tenant_id, usage.execution_id),
    }
    if usage.occurred_at < month_start_us(event.timestamp, -1):
        detail = "happened before the previous month; a report this late may be a repeat nobody remembers"
        return UsageQuarantined(**call, reason="too_old", detail=detail)
    if problem := problem_with_counts(usage):
        return UsageQuarantined(**call, reason="invalid_usage", detail=problem)
    price = price_of_call(rows, policy, usage.model, at_us)
    if price is None:
        detail = f"model {usage.model[:80]!r} had no price then; see: penstock prices set"
        return UsageQuarantined(**call, reason="unknown_model", detail=detail)
    line = charged(call | {"adjusts_period": accounted.adjusts_period}, usage, price)
    if line is None:
        detail = f"it would cost more than {MAX_COST_NANOUSD} nano-USD at {price.version}"
        return UsageQuarantined(**call, reason="invalid_usage", detail=detail)
    return line


def charged(line: Mapping[str, Any], call: ProviderCall, price: Price) -> UsageCharged | None:
    """The ledger line of `call` at `price`; None where its cost is more than a line can hold.

    Args:
        line: every other field of it.
    """
    tokens = Tokens(call.input_tokens, call.cache_read_tokens, call.cache_write_tokens, call.output_tokens)
    cost = cost_nanousd(tokens, price, Units(call.tool_calls, call.sandbox_cpu_ms, call.sandbox_gb_ms))
    if cost > MAX_COST_NANOUSD:
        return None
    return UsageCharged(**line, cost_nanousd=cost, price_version=price.version)


def price_of_call(rows: Rows, policy: Policy, model: str, at_us: int) -> Price | None:
    """The price in force at `at_us`; where there is none and its month is closed, at the start of the open month.

    Nothing can be listed for a closed month any more.
    """
    if price := price_at(rows, policy, model, at_us):
        return price
    since_us = open_since(rows)
    return price_at(rows, policy, model, since_us) if since_us is not None and at_us < since_us else None


def counted(usage: RecordUsage, line: UsageCharged | UsageQuarantined, event: Event) -> m.Counted:
    """What is remembered of a report, so that it counts once and can be corrected."""
    return m.Counted(
        at_us=accounted_at_us(usage.occurred_at, event.timestamp),
        made_by=maker_of(usage),
        charged=charged_with(None, line) if isinstance(line, UsageCharged) else None,
        waits_for_price=isinstance(line, UsageQuarantined) and line.reason == "unknown_model",
        pipeline_id=line.pipeline_id,
        conversation_id=line.conversation_id,
    )


def charged_with(before: m.Charged | None, line: UsageCharged | ChargeAdjusted) -> m.Charged:
    """What a call was charged, with one more line."""
    counts = tuple(getattr(line, name) for name in COUNTS)
    if before is None:
        return m.Charged(counts, line.cost_nanousd)
    total = tuple(map(sum, zip(before.counts, counts, strict=True)))
    return m.Charged(total, before.nanousd + line.cost_nanousd)


def maker_of(call: ProviderCall) -> bytes:
    """Digest of who made a call, and with which model."""
    who = (call.execution_id, call.epoch, call.call_seq, call.user_id, call.agent_type, call.model)
    return blake2b(msgspec.msgpack.encode(who), digest_size=12).digest()


def problem_with_counts(usage: ProviderCall) -> str | None:
    """Why counts cannot be a call's, or None."""
    for name in COUNTS:
        count = getattr(usage, name)
        if not 0 <= count <= MAX_CALL_TOKENS:
            return f"{name} must be 0 to {MAX_CALL_TOKENS}, was {count}"
    if usage.reasoning_tokens > usage.output_tokens:
        return f"reasoning_tokens {usage.reasoning_tokens} exceed output_tokens {usage.output_tokens}"
    return None
