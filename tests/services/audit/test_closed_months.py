"""The audit of months that were closed, and of calls that were corrected."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock_schemas import records as r
from penstock_services.audit.recount import LedgerLine, Sources, recount
from penstock_services.pricing.published import published_prices
from penstock_services.topic_reader import Read
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.kit import Event
from tests.streams.accounts.test_charging import at
from tests.streams.partition import Partition

COMMANDS, EVENTS = "penstock.accounts.commands.v1", "penstock.accounts.events.v1"
NOVEMBER, OCTOBER = at(2026, 11, 1, 9), at(2026, 10, 31, 20)
MONTHS = ("2026-10", "2026-11")


def usage(number: int, tokens: int, occurred_at: int = OCTOBER, **fields) -> r.RecordUsage:
    fields = {"model": "claude-3-haiku", "output_tokens": 3} | fields
    return r.RecordUsage(
        tenant_id="acme", usage_id=f"u{number}", input_tokens=tokens, occurred_at=occurred_at, **fields
    )


def correction(number: int, tokens: int, **fields) -> r.CorrectUsage:
    reported = usage(number, tokens, NOVEMBER, **fields).model_dump(exclude={"event_id"})
    return r.CorrectUsage(event_id=f"fix-{number}-{tokens}", **reported)


CLOSING = r.ClosePeriod(
    event_id="close", tenant_id="_penstock", occurred_at=NOVEMBER, partition=0, period="2026-10"
)


class Books:
    """What accounts writes for `inputs`, in one partition, and the ledger that has it all."""

    def __init__(self, *inputs: r.Record) -> None:
        self.reports = [Read(record, COMMANDS, 0, offset, NOVEMBER) for offset, record in enumerate(inputs)]
        partition = Partition(Accounts(Policy()), NOVEMBER)
        for read in self.reports:
            partition.fold(Event(read.record, read.topic, read.partition, read.offset, read.timestamp))
            partition.advance(0)
        self.written = [
            record.model_copy(update={"event_id": f"line-{n}"}) for n, record in enumerate(partition.written)
        ]

    def audit(self, month: str):
        lines = [
            line
            for line in self.written
            if isinstance(line, r.UsageCharged | r.ChargeAdjusted) and line.period == month
        ]
        ledger = [LedgerLine(line.tenant_id, line.usage_id, line.event_id, line.cost_nanousd) for line in lines]
        bills = {"acme": sum(line.cost_nanousd for line in lines)}
        written = [Read(record, EVENTS, 0, offset, NOVEMBER) for offset, record in enumerate(self.written)]
        return recount(month, Sources(self.reports, written), ledger, bills, {}, published_prices())

    def differences(self) -> list[str]:
        return [difference.what for month in MONTHS for difference in self.audit(month).differences]


NUMBERS, TOKENS = st.integers(1, 5), st.integers(0, 10**9)
INPUTS = st.one_of(
    st.builds(usage, NUMBERS, TOKENS, st.sampled_from([OCTOBER, NOVEMBER])),
    st.builds(usage, st.integers(6, 8), st.integers(-5, -1)),
    st.builds(correction, st.integers(1, 9), TOKENS),
    st.just(CLOSING),
)


@example([usage(1, 0), correction(1, 1), correction(1, 0), correction(1, 1)])  # the first one arrives again
@settings(max_examples=150, deadline=None)
@given(st.lists(INPUTS, max_size=25))
def test_whatever_is_reported_corrected_and_closed_the_books_agree(inputs):
    assert Books(*inputs).differences() == []


def test_a_late_call_and_a_correction_are_in_the_open_months_sums():
    books = Books(usage(1, 1_000), CLOSING, usage(2, 500), correction(1, 400))
    closed, open_ = (books.audit(month) for month in MONTHS)
    assert (closed.charged_lines, closed.charged_nanousd) == (1, 1_000 * 250 + 3 * 1_250)
    assert (open_.charged_lines, open_.charged_nanousd) == (2, 500 * 250 + 3 * 1_250 - 600 * 250)
    assert (closed.differences, open_.differences) == ([], [])


def change(books: Books, kind: type[r.Record], **fields) -> None:
    changed = [number for number, record in enumerate(books.written) if isinstance(record, kind)]
    books.written[changed[0]] = books.written[changed[0]].model_copy(update=fields)


def drop_correction(books: Books) -> None:
    books.written = [record for record in books.written if not isinstance(record, r.ChargeAdjusted)]


def double_correction(books: Books) -> None:
    twice = next(record for record in books.written if isinstance(record, r.ChargeAdjusted))
    books.written.append(twice.model_copy(update={"event_id": "another"}))


@pytest.mark.parametrize(
    ("falsify", "what"),
    [
        (lambda books: change(books, r.ChargeAdjusted, cost_nanousd=-1), "another amount"),
        (lambda books: change(books, r.ChargeAdjusted, input_tokens=-1), "input_tokens is -1"),
        (lambda books: change(books, r.ChargeAdjusted, period="2026-10"), "belongs to 2026-11"),
        (drop_correction, "neither booked nor refused"),
        (double_correction, "booked twice"),
        (lambda books: change(books, r.PeriodClosed, closed_by="nobody"), "no ClosePeriod on Kafka"),
        (lambda books: books.reports.pop(), "hold no such usage"),
    ],
)
def test_a_falsified_correction_or_closing_is_found(falsify, what):
    books = Books(usage(1, 1_000), CLOSING, correction(1, 400))
    assert books.differences() == []
    falsify(books)
    assert any(what in found for found in books.differences()), books.differences()
