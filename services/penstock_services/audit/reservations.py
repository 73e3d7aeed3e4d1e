"""Whether the budgets add up: what is reserved is held by somebody, and what is spent was charged. Pure.

The rows are of one moment of each task: the changelog holds the rows of a transaction and the input position it
reached, so a charge is in them exactly where its usage lies before that position. One that waited for a price is
charged by a timer, later than its usage says: it is in them once its waiting row is gone. Charges that were
written since do not count, so a stack at work shows no difference.

A correction is a line of its own, of the difference, and names the command that asked for it as its usage.

A user's budget counts what is charged after it was first configured; both are events of the tenant's partition, in
the order in which they were decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from penstock_schemas.records import ChargeAdjusted, UsageCharged, UserConfigured
from penstock_services.audit.rows import Amount, Budget, Kept
from penstock_services.topic_reader import Read

ZERO = Amount()
UNITS: tuple[Literal["tokens"], Literal["nanousd"]] = ("tokens", "nanousd")
Whose = tuple[str, str | None]
"""Tenant and user; the tenant's own budget has no user."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One budget whose sum is not what it should be."""

    tenant_id: str
    user_id: str | None
    sum: Literal["reserved", "spent"]
    unit: Literal["tokens", "nanousd"]
    expected: int
    found: int | None
    """None where there is no such budget."""
    period: str | None = None
    """Of `spent`."""

    def same_as(self, other: Leak) -> bool:
        """Whether it is that one, seen at another moment: the budget has moved on, and is off by as much."""
        mine, others = (self.found or 0) - self.expected, (other.found or 0) - other.expected
        return (*self._where(), mine) == (*other._where(), others)

    def _where(self) -> tuple[str | None, ...]:
        return self.tenant_id, self.user_id, self.sum, self.unit, self.period


@dataclass
class Held:
    """The outcome of an audit of the budgets."""

    budgets: int = 0
    reservations: int = 0
    """Open reservations and unresolved calls."""
    charges: int = 0
    unchecked: int = 0
    """Budgets last charged in a month that Kafka no longer holds whole; their `spent` was not recounted."""
    leaks: list[Leak] = field(default_factory=list)


class Spending:
    """What the events say was spent, folded record by record."""

    def __init__(self, kept: Kept) -> None:
        self.charges = 0
        self.whole: dict[Whose, dict[str, Amount]] = defaultdict(dict)
        """By month: everything that was charged."""
        self.since: dict[Whose, dict[str, Amount]] = defaultdict(dict)
        """By month: what was charged once the budget was known to exist."""
        self._kept = kept
        self._waiting = set(kept.waiting.values())
        self._configured: set[Whose] = set()

    def add(self, event: Read) -> None:
        """Fold one record of the accounts events, in order within its partition."""
        line = event.record
        if isinstance(line, UserConfigured):
            self._configured.add((line.tenant_id, line.user_id))
        if not isinstance(line, UsageCharged | ChargeAdjusted) or not self._had_seen(line):
            return
        self.charges += 1
        tokens = line.input_tokens + line.cache_read_tokens + line.cache_write_tokens + line.output_tokens
        cost = Amount(tokens, line.cost_nanousd)
        tenant, user = (line.tenant_id, None), (line.tenant_id, line.user_id)
        for sums in (self.whole, self.since):
            _add(sums[tenant], line.period, cost)
        if line.user_id is not None:
            _add(self.whole[user], line.period, cost)
            if user in self._configured:
                _add(self.since[user], line.period, cost)

    def _had_seen(self, line: UsageCharged | ChargeAdjusted) -> bool:
        read_to = self._kept.read_to.get((line.usage_topic, line.usage_partition), 0)
        coordinates = (line.usage_topic, line.usage_partition, line.usage_offset)
        return line.usage_offset < read_to and coordinates not in self._waiting


def compare(kept: Kept, spending: Spending, cut_in: str | None = None) -> Held:
    """Hold every budget against what its sums are made of.

    Args:
        cut_in: the month (`YYYY-MM`) up to which retention has removed events; None where all are there.
    """
    outcome = Held(len(kept.budgets), len(kept.held), spending.charges)
    reserved: dict[str, Amount] = defaultdict(Amount)
    for holder in kept.held.values():
        for key in holder.budgets:
            reserved[key] += holder.kept()
    keys_spent = {_key(whose): whose for whose in spending.whole if whose[1] is None}
    for key in sorted(kept.budgets.keys() | reserved.keys() | keys_spent.keys()):
        whose, budget = _whose(key), kept.budgets.get(key)
        found = budget.reserved if budget else None
        outcome.leaks += _leaks(whose, "reserved", reserved[key], found)
        outcome.leaks += _spent(whose, budget, spending, cut_in, outcome)
    return outcome


def _spent(
    whose: Whose, budget: Budget | None, spending: Spending, cut_in: str | None, outcome: Held
) -> list[Leak]:
    """Differences of `spent` in the newest month that the budget or its charges know."""
    since, whole = spending.since[whose], spending.whole[whose]
    period = max([budget.period if budget else "", *since])
    if cut_in is not None and period <= cut_in:
        outcome.unchecked += 1
        return []
    found = None
    if budget is not None:
        found = budget.spent if budget.period == period else ZERO
    if cut_in is not None and found == whole.get(period, ZERO):
        return []  # first configured where nothing is kept any more
    return _leaks(whose, "spent", since.get(period, ZERO), found, period)


def _leaks(
    whose: Whose,
    of: Literal["reserved", "spent"],
    expected: Amount,
    found: Amount | None,
    period: str | None = None,
) -> list[Leak]:
    leaks = []
    for unit in UNITS:
        should, has = getattr(expected, unit), getattr(found, unit) if found else None
        if (has or 0) != should:
            leaks.append(Leak(*whose, of, unit, should, has, period))
    return leaks


def _add(months: dict[str, Amount], period: str, cost: Amount) -> None:
    months[period] = months.get(period, ZERO) + cost


def _key(whose: Whose) -> str:
    tenant_id, user_id = whose
    return f"budget/{tenant_id}" if user_id is None else f"budget/{tenant_id}/{user_id}"


def _whose(key: str) -> Whose:
    tenant_id, slash, user_id = key.removeprefix("budget/").partition("/")
    return tenant_id, user_id if slash else None


def confirmed(leaks: Iterable[Leak], again: Iterable[Leak]) -> list[Leak]:
    """Of what a second look found, what the first had found too."""
    before = list(leaks)
    return [leak for leak in again if any(leak.same_as(earlier) for earlier in before)]
