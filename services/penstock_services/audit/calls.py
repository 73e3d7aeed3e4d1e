"""The lines of one call, retold from what was reported about it. Pure.

A call has one charge, or a line of quarantine that a charge may follow; then any number of corrections. Each line
must come from a report that is on Kafka, be on the right month's bill, and be worth what that report costs less
what the lines before it were worth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from penstock_schemas.records import (
    ChargeAdjusted,
    CorrectUsage,
    RecordUsage,
    UsageCharged,
    UsageQuarantined,
)
from penstock_schemas.records.accounts import COUNTS, ProviderCall
from penstock_services.audit.calendar import moment
from penstock_services.audit.closings import Closings
from penstock_services.audit.findings import Difference, Findings, Key
from penstock_services.audit.origins import Origins, origin_in
from penstock_services.audit.price_history import LATEST, Expected, PriceHistory
from penstock_services.topic_reader import Read

Coordinates = tuple[str, int, int]
Charge = UsageCharged | ChargeAdjusted


@dataclass(frozen=True, slots=True)
class Book:
    """What decides a call's price and month, and what it is part of."""

    prices: PriceHistory
    closings: Closings
    origins: Origins

    def expected(self, report: ProviderCall, call: Read, line: Read) -> Expected:
        """What the call reported first as `call` costs with the counts of `report`, as known before `line`."""
        known = (line.partition, line.offset, getattr(line.record, "price_version", ""))
        expected = self.prices.expected(report, moment(call), *known)
        since = self.closings.open_since(line.partition, line.offset)
        if expected.nanousd is None and moment(call) < since:
            return self.prices.expected(report, since, *known)
        return expected

    def period(self, call: Read, line: Read) -> str:
        """Whose bill the line is on."""
        return f"{max(moment(call), self.closings.open_since(line.partition, line.offset)):%Y-%m}"


class CallCheck:
    """Compares one call's lines with its reports.

    Args:
        reports: every copy of every RecordUsage and CorrectUsage about it.
        refused: `event_id` of corrections that were refused.
        findings: of the month; differences and sums are added.
    """

    def __init__(
        self,
        key: Key,
        reports: Mapping[Coordinates, Read],
        book: Book,
        refused: Collection[str],
        findings: Findings,
    ) -> None:
        self._key = key
        self._reports = reports
        self._book = book
        self._refused = refused
        self._findings = findings
        self._worth = 0
        self._counts = [0] * len(COUNTS)

    def lines(self, lines: Sequence[Read]) -> Iterator[Charge]:
        """The charges among `lines`, which are in order, that are on the month's bill; each is compared."""
        if not lines:
            self._check_unaccounted()
            return
        if _period(lines[0]) == self._findings.month:
            self._check_numbers(lines)
        call = self._reports.get(_source(lines[0]))
        for number, line in enumerate(lines):
            here = _period(line) == self._findings.month
            if isinstance(line.record, UsageQuarantined):
                if here and number == len(lines) - 1:
                    self._check_quarantined(call, line)
                continue
            assert isinstance(line.record, UsageCharged | ChargeAdjusted)
            if here:
                self._check_charge(call, line, line.record)
                yield line.record
            self._worth += line.record.cost_nanousd
            counts = zip(COUNTS, self._counts, strict=True)
            self._counts = [before + getattr(line.record, name) for name, before in counts]

    def _check_unaccounted(self) -> None:
        calls = [read for read in self._reports.values() if isinstance(read.record, RecordUsage)]
        if not calls:
            return  # corrections of a call nobody reported; each was refused, or is seen in _check_numbers
        first = min(calls, key=lambda read: read.timestamp)
        if f"{moment(first):%Y-%m}" == self._findings.month:
            self._findings.usage_records += 1
            assert isinstance(first.record, RecordUsage)
            cost = self._book.prices.expected(first.record, moment(first), first.partition, LATEST).nanousd
            self._findings.usage_nanousd += cost or 0
            self._differ("usage was neither charged nor quarantined", cost, None)

    def _check_numbers(self, lines: Sequence[Read]) -> None:
        """One charge; every correction booked once, or refused."""
        kinds = [type(line.record) for line in lines]
        if kinds.count(UsageCharged) > 1 or kinds.count(UsageQuarantined) > 1 or UsageQuarantined in kinds[1:]:
            self._differ(f"usage has {len(lines)} lines instead of one")
        asked = {read.record.event_id for read in self._reports.values() if isinstance(read.record, CorrectUsage)}
        booked = [line.record.corrected_by for line in lines if isinstance(line.record, ChargeAdjusted)]
        if len(booked) > len(set(booked)):
            self._differ("a correction was booked twice")
        sources = [self._reports.get(_source(line)) for line in lines]
        booked += [source.record.event_id for source in sources if source]
        for missing in sorted(asked - {*booked, *self._refused}):
            self._differ(f"the correction {missing} was neither booked nor refused")

    def _check_quarantined(self, call: Read | None, line: Read) -> None:
        self._findings.quarantined += 1
        if call is None:
            self._differ("the line names coordinates that hold no such usage")
            return
        self._findings.usage_records += 1
        self._check_period(call, line)
        self._check_origin(call, line)
        usage, at = call.record, moment(call)
        assert isinstance(usage, RecordUsage)
        waits = getattr(line.record, "reason", "") == "unknown_model"
        if waits and self._book.prices.operators(usage.model, at, line.partition)[1]:
            expected = self._book.prices.expected(usage, at, line.partition, LATEST)
            self._differ(f"waits for a price, though {expected.version} is listed", expected.nanousd, None)

    def _check_charge(self, call: Read | None, line: Read, charge: Charge) -> None:
        source = self._reports.get(_source(line))
        if source is None or call is None or not isinstance(call.record, RecordUsage):
            self._differ("the line names coordinates that hold no such usage", None, charge.cost_nanousd)
            return
        report = source.record
        assert isinstance(report, RecordUsage | CorrectUsage)
        self._check_period(call, line)
        self._check_origin(call, line)
        expected = self._book.expected(report, call, line)
        due = (expected.nanousd or 0) - self._worth
        self._findings.usage_records += 1
        self._findings.charged_lines += 1
        self._findings.usage_nanousd += due
        self._findings.charged_nanousd += charge.cost_nanousd
        if expected.nanousd is None or due != charge.cost_nanousd:
            names = f"{charge.price_version}, expected {expected.version or 'no price'}"
            self._differ(f"charged at another amount than its tokens cost ({names})", due, charge.cost_nanousd)
        for name, before in zip(COUNTS, self._counts, strict=True):
            if getattr(charge, name) != (due_count := getattr(report, name) - before):
                self._differ(f"{name} is {getattr(charge, name)} where {due_count} was reported")

    def _check_period(self, call: Read, line: Read) -> None:
        if (period := self._book.period(call, line)) != _period(line):
            self._differ(f"accounted in {_period(line)}, belongs to {period}")

    def _check_origin(self, call: Read, line: Read) -> None:
        said, expected = origin_in(_line(line)), self._book.origins.expected(call)
        if expected is not None and said not in expected:
            asked = " or ".join(sorted(_in_words(*origin) for origin in expected))
            self._differ(f"is for {_in_words(*said)}, its request says {asked}")

    def _differ(self, what: str, expected: int | None = None, found: int | None = None) -> None:
        self._findings.differences.append(Difference(*self._key, what, expected, found))


def _in_words(pipeline_id: str | None, conversation_id: str | None) -> str:
    named = (("pipeline", pipeline_id), ("conversation", conversation_id))
    return " and ".join(f"{name} {which}" for name, which in named if which) or "no pipeline or conversation"


def _line(read: Read) -> Charge | UsageQuarantined:
    assert isinstance(read.record, UsageCharged | ChargeAdjusted | UsageQuarantined)
    return read.record


def _period(read: Read) -> str:
    return _line(read).period


def _source(read: Read) -> Coordinates:
    line = _line(read)
    return line.usage_topic, line.usage_partition, line.usage_offset
