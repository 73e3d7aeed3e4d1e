"""Corrections: what a call truly was, booked as the difference to what it was charged. Pure.

The call as corrected is priced as a report of it would be now; the difference to all lines so far is one line, so
that the sum of a call's lines is always what the call as last corrected costs, rounded once.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.records.accounts import COUNTS
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.charging import (
    charged,
    charged_with,
    maker_of,
    price_of_call,
    problem_with_counts,
)
from penstock_streams.accounts.closing import accounted_in
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.reservations import book_charge, came_too_late
from penstock_streams.accounts.validation import Problem
from penstock_streams.kit import Decision, Event, Output, Rows
from penstock_streams.timing import period_of

CORRECTIONS_REMEMBERED = 100
"""Of one call."""


def correct_usage(rows: Rows, policy: Policy, command: r.CorrectUsage, event: Event) -> Decision:
    """Charge, or give back, the difference; a call in quarantine is charged for the first time."""
    key = m.counted_key(command.tenant_id, command.usage_id)
    counted = rows.get(key, m.Counted)
    if counted is None:
        return _refused(
            command, Problem("unknown_usage", "no such call was reported in this or the previous month")
        )
    line = _line(rows, policy, command, counted, event)
    if isinstance(line, Problem):
        return _refused(command, line)
    line = line.model_copy(update={"wasted": came_too_late(rows, line)})
    decision, books = Decision(), Books(rows, command.tenant_id)
    corrected_by = (*counted.corrected_by, command.event_id)[-CORRECTIONS_REMEMBERED:]
    decision.puts[key] = replace(counted, charged=charged_with(counted.charged, line), corrected_by=corrected_by)
    book_charge(rows, books, line, decision)
    books.into(decision)
    decision.outputs.append(Output(topics.ACCOUNTS_EVENTS, line))
    return decision


def _line(
    rows: Rows, policy: Policy, command: r.CorrectUsage, counted: m.Counted, event: Event
) -> r.UsageCharged | r.ChargeAdjusted | Problem:
    if command.event_id in counted.corrected_by:
        return Problem("no_difference", "this correction was booked already")
    if counted.waits_for_price:
        return Problem("awaits_price", "the call waits for a price of its model; see: penstock prices set")
    if counted.made_by != maker_of(command):
        return Problem("not_the_call", "its execution, user, agent or model is not what was reported")
    if problem := problem_with_counts(command):
        return Problem("invalid_usage", problem)
    price = price_of_call(rows, policy, command.model, counted.at_us)
    accounted = accounted_in(rows, period_of(counted.at_us))
    call = command.model_dump(exclude={"event_id", "occurred_at", "reason"}) | {
        "occurred_at": counted.at_us,
        "period": accounted.period,
        "adjusts_period": accounted.adjusts_period,
        "usage_topic": event.topic,
        "usage_partition": event.partition,
        "usage_offset": event.offset,
        "pipeline_id": counted.pipeline_id,
        "conversation_id": counted.conversation_id,
    }
    line = charged(call, command, price) if price else None
    if price is None or line is None:
        return Problem("invalid_usage", "as corrected it has no price, or costs more than a ledger line can hold")
    if counted.charged is None:
        return line
    before = counted.charged
    differences = {name: getattr(line, name) - count for name, count in zip(COUNTS, before.counts, strict=True)}
    cost = line.cost_nanousd - before.nanousd
    if not cost and not any(differences.values()):
        return Problem("no_difference", "that is what the call was charged for")
    return r.ChargeAdjusted(
        **(call | differences),
        corrected_by=command.event_id,
        reason=command.reason[: topics.MAX_REASON_CHARS],
        cost_nanousd=cost,
        price_version=line.price_version,
    )


def _refused(command: r.CorrectUsage, problem: Problem) -> Decision:
    refused = r.CorrectionRefused(
        tenant_id=command.tenant_id,
        refused_event_id=command.event_id,
        usage_id=command.usage_id,
        reason=problem.reason,
        detail=problem.detail,
    )
    return Decision(outputs=[Output(topics.ACCOUNTS_EVENTS, refused)])
