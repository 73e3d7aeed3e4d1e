"""The audit finds every kind of disagreement, and none where the books agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_schemas.records import RecordUsage, UsageCharged
from penstock_services.audit.recount import LedgerLine, Sources, recount
from penstock_services.pricing import BUILTIN_PRICES
from penstock_services.topic_reader import Read
from penstock_streams.accounts.charging import charge
from penstock_streams.accounts.policy import Policy
from penstock_streams.kit import Event
from tests.streams.partition import Partition

MONTH, NOW = "2026-09", 1_790_000_000_000_000
TOPIC = "penstock.accounts.commands.v1"


def reported(number: int, tokens: int = 1000, **fields) -> Read:
    fields = {"model": "claude-3-haiku", "output_tokens": 7, "occurred_at": NOW} | fields
    usage = RecordUsage(
        tenant_id="acme", usage_id=f"u{number}", event_id=f"e{number}", input_tokens=tokens, **fields
    )
    return Read(usage, TOPIC, 0, number, NOW)


def line_for(read: Read) -> UsageCharged:
    event = Event(read.record, read.topic, read.partition, read.offset, NOW)
    line = charge(Partition(None), Policy(), read.record, event)
    return line.model_copy(update={"event_id": f"line-{read.record.usage_id}"})


def books(*reads: Read):
    """Usage, lines, ledger and bills that agree."""
    lines = [line_for(read) for read in reads]
    charged = [line for line in lines if isinstance(line, UsageCharged)]
    ledger = [LedgerLine(line.tenant_id, line.usage_id, line.event_id, line.cost_nanousd) for line in charged]
    return list(reads), lines, ledger, {"acme": sum(line.cost_nanousd for line in charged)}


def audit(usage, lines, ledger, bills):
    return recount(MONTH, Sources(usage, lines), ledger, bills, BUILTIN_PRICES)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_books_that_agree_have_no_differences_and_equal_sums(token_counts):
    findings = audit(*books(*(reported(i, tokens) for i, tokens in enumerate(token_counts))))
    assert findings.differences == []
    sums = {findings.usage_nanousd, findings.charged_nanousd, findings.ledger_nanousd, findings.billed_nanousd}
    assert len(sums) == 1


def test_a_forwarded_copy_of_the_same_usage_is_no_difference():
    usage, lines, ledger, bills = books(reported(1))
    assert audit([*usage, replace(usage[0], partition=3)], lines, ledger, bills).differences == []


def test_quarantined_usage_is_counted_and_no_difference():
    findings = audit(*books(reported(1), reported(2, model="nobody-knows")))
    assert (findings.differences, findings.quarantined) == ([], 1)


def drop_ledger_row(usage, lines, ledger, bills):
    ledger.pop()


def double_ledger_row(usage, lines, ledger, bills):
    ledger.append(ledger[0])


def change_ledger_row(usage, lines, ledger, bills):
    ledger[0] = replace(ledger[0], cost_nanousd=ledger[0].cost_nanousd + 1)


def drop_line(usage, lines, ledger, bills):
    lines.pop()


def double_line(usage, lines, ledger, bills):
    lines.append(lines[0].model_copy(update={"event_id": "another"}))


def change_line(usage, lines, ledger, bills):
    lines[0] = lines[0].model_copy(update={"cost_nanousd": lines[0].cost_nanousd + 1})


def invent_line(usage, lines, ledger, bills):
    usage.pop(0)


def change_bill(usage, lines, ledger, bills):
    bills["acme"] -= 1


def bill_a_stranger(usage, lines, ledger, bills):
    bills["globex"] = 1


@pytest.mark.parametrize(
    ("falsify", "what"),
    [
        (drop_ledger_row, "missing from the ledger"),
        (double_ledger_row, "or twice"),
        (change_ledger_row, "differs from its charge"),
        (drop_line, "neither charged nor quarantined"),
        (double_line, "2 lines instead of one"),
        (change_line, "another amount"),
        (invent_line, "hold no such usage"),
        (change_bill, "bill differs"),
        (bill_a_stranger, "bill differs"),
    ],
)
def test_a_falsified_book_is_found(falsify, what):
    parts = books(reported(1), reported(2))
    falsify(*parts)
    assert any(what in difference.what for difference in audit(*parts).differences)
