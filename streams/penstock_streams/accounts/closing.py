"""Closed months: every partition seals the same ones, and what comes later counts in the first open one. Pure.

As with the price list, every partition reads the same ClosePeriod records in the same order and decides from
nothing but them and its own row, so all partitions close or refuse alike. Nothing here may depend on when a record
was received.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.accounts import model as m
from penstock_streams.accounts.validation import Problem
from penstock_streams.kit import Decision, Output, Rows
from penstock_streams.timing import month_start_us, period_of, start_of_period_us

PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Accounted:
    """Whose bill a call is on."""

    period: str
    adjusts_period: str | None
    """The month it belongs to, where that is closed."""


def accounted_in(rows: Rows, dated: str) -> Accounted:
    """The period that counts what belongs to the month `dated`: that one, or the first one that is open."""
    closed = rows.get(m.CLOSED_KEY, m.Closed)
    if closed is None or dated > closed.period:
        return Accounted(dated, None)
    return Accounted(period_of(_end_us(closed.period)), dated)


def open_since(rows: Rows) -> int | None:
    """Start of the first accounting period that is open, in microseconds; None where none was ever closed."""
    closed = rows.get(m.CLOSED_KEY, m.Closed)
    return _end_us(closed.period) if closed else None


def close_period(rows: Rows, command: r.ClosePeriod, partition: int) -> Decision:
    """Close the month of `command`, and with it every earlier one; or refuse."""
    if problem := _problem(rows, command):
        refused = r.PeriodCloseRefused(
            tenant_id=r.SYSTEM_TENANT,
            partition=partition,
            refused_event_id=command.event_id,
            period=command.period[:32],
            reason=problem.reason,
            detail=problem.detail,
        )
        return Decision(outputs=[Output(topics.ACCOUNTS_EVENTS, refused)])
    closed = r.PeriodClosed(
        tenant_id=r.SYSTEM_TENANT, partition=partition, closed_by=command.event_id, period=command.period
    )
    return Decision(
        puts={m.CLOSED_KEY: m.Closed(command.period)},
        outputs=[Output(topics.ACCOUNTS_EVENTS, closed)],
    )


def _problem(rows: Rows, command: r.ClosePeriod) -> Problem | None:
    if not PERIOD.fullmatch(command.period):
        return Problem("invalid_period", f"a month is YYYY-MM, not {command.period[:32]!r}")
    closed = rows.get(m.CLOSED_KEY, m.Closed)
    if closed is not None and command.period <= closed.period:
        return Problem("already_closed", f"every month up to {closed.period} is closed")
    if _end_us(command.period) > command.occurred_at:
        return Problem("not_over", f"{command.period} is not over; a month can be closed once it has ended (UTC)")
    return None


def _end_us(period: str) -> int:
    return month_start_us(start_of_period_us(period), 1)
