"""Usage that waits for a price: kept when it is quarantined, charged once a price for its time is listed. Pure.

The calls of one model, by its canonical name, are a queue. A listed price starts a walk from its head, some calls
per timer; a call whose time it does not cover stays, in its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.records.accounts import ProviderCall
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.charging import accounted_at_us, charged, charged_with, price_of_call
from penstock_streams.accounts.closing import accounted_in
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.reservations import amount_of
from penstock_streams.kit import Decision, Event, Output, Rows, Timer
from penstock_streams.timing import period_of

REPRICED_AT_ONCE = 100
"""Most numbers of a queue one timer looks at; a timer due at once goes on."""


def keep_unpriced(rows: Rows, policy: Policy, line: r.UsageQuarantined, event: Event, decision: Decision) -> None:
    """Put a quarantined call at the end of its model's queue."""
    queue = policy.prices.canonical(line.model)
    waiting = rows.get(m.unpriced_key(queue), m.Unpriced) or m.Unpriced()
    at_us = accounted_at_us(line.occurred_at, event.timestamp)
    fields = line.model_dump(exclude={"event_id", "reason", "detail"})
    decision.puts[m.unpriced_call_key(queue, waiting.tail)] = m.UnpricedCall(at_us, fields)
    decision.puts[m.unpriced_key(queue)] = replace(waiting, tail=waiting.tail + 1)


def reprice_models(rows: Rows, policy: Policy, models: Iterable[str], now: int, decision: Decision) -> None:
    """Begin anew to walk the queues that new prices of `models` may empty."""
    for queue in dict.fromkeys(name for model in models for name in policy.prices.names(model)):
        if waiting := rows.get(m.unpriced_key(queue), m.Unpriced):
            decision.puts[m.unpriced_key(queue)] = replace(waiting, cursor=waiting.head)
            decision.timers.append(Timer(m.reprice_name(queue), now))


def reprice(rows: Rows, policy: Policy, queue: str, now: int) -> Decision:
    """Charge the next calls of a queue whose times have a price by now."""
    waiting = rows.get(m.unpriced_key(queue), m.Unpriced)
    if waiting is None:
        return Decision()
    decision, head = Decision(), waiting.head
    books: dict[str, Books] = {}
    end = min(waiting.cursor + REPRICED_AT_ONCE, waiting.tail)
    for number in range(waiting.cursor, end):
        key = m.unpriced_call_key(queue, number)
        call = rows.get(key, m.UnpricedCall)
        line = _charged(rows, policy, call) if call else None
        if line is not None:
            decision.deletes.append(key)
            decision.outputs.append(Output(topics.ACCOUNTS_EVENTS, line))
            remembered = m.counted_key(line.tenant_id, line.usage_id)
            if known := rows.get(remembered, m.Counted):
                charged_now = replace(known, charged=charged_with(None, line), waits_for_price=False)
                decision.puts[remembered] = charged_now
            of_tenant = books.setdefault(line.tenant_id, Books(rows, line.tenant_id))
            of_tenant.charge(line.user_id, amount_of(line), line.period)
        if (call is None or line is not None) and number == head:
            head += 1
    for of_tenant in books.values():
        of_tenant.into(decision)
    if head == waiting.tail:
        decision.deletes.append(m.unpriced_key(queue))
        return decision
    decision.puts[m.unpriced_key(queue)] = replace(waiting, head=head, cursor=end)
    if end < waiting.tail:
        decision.timers.append(Timer(m.reprice_name(queue), now))
    return decision


def _charged(rows: Rows, policy: Policy, call: m.UnpricedCall) -> r.UsageCharged | None:
    usage = ProviderCall.model_validate(call.line)
    price = price_of_call(rows, policy, usage.model, call.at_us)
    if price is None:
        return None
    accounted = accounted_in(rows, period_of(call.at_us))
    return charged(call.line | asdict(accounted), usage, price)
