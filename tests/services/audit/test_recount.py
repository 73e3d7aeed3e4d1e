"""The audit finds every kind of disagreement, and none where the books agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_schemas.records import ChargeAdjusted, ListedPrice, ListPrice, RecordUsage, UsageCharged
from penstock_services.audit.recount import LedgerLine, Sources, recount
from penstock_services.pricing.published import published_prices
from penstock_services.topic_reader import Read
from penstock_streams.accounts.charging import charge
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.kit import Event
from tests.streams.partition import Partition

PUBLISHED = published_prices()
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


def on_kafka(*records) -> list[Read]:
    """Records as they lie in one partition of the events topic."""
    return [Read(record, "penstock.accounts.events.v1", 0, offset, NOW) for offset, record in enumerate(records)]


def ledger_line(line: UsageCharged | ChargeAdjusted) -> LedgerLine:
    """As the loader writes it."""
    identity = (line.tenant_id, line.usage_id, line.event_id, line.cost_nanousd)
    return LedgerLine(*identity, line.pipeline_id, line.conversation_id)


def books(*reads: Read):
    """Usage, lines, ledger and bills that agree."""
    lines = [line_for(read) for read in reads]
    charged = [line for line in lines if isinstance(line, UsageCharged)]
    ledger = [ledger_line(line) for line in charged]
    return list(reads), lines, ledger, {"acme": sum(line.cost_nanousd for line in charged)}


def audit(usage, lines, ledger, bills):
    return recount(MONTH, Sources(usage, on_kafka(*lines)), ledger, bills, {}, PUBLISHED)


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


# The operator's prices

ACCOUNTS = Accounts(Policy())
COMMAND = ListPrice(
    event_id="list-1",
    tenant_id="_penstock",
    occurred_at=NOW,
    partition=0,
    prices=[
        ListedPrice(
            model="ours",
            effective_from=NOW - 1_000_000,
            input_nanousd_per_mtok=10**9 + 1,
            cache_read_nanousd_per_mtok=5,
            cache_write_nanousd_per_mtok=7,
            output_nanousd_per_mtok=3 * 10**9,
            tool_call_nanousd=11,
            cpu_second_nanousd=13,
            gb_second_nanousd=17,
        )
    ],
)
UNITS = {"tool_calls": 3, "sandbox_cpu_ms": 1_501, "sandbox_gb_ms": 499}


def listing_of(model: str) -> ListPrice:
    """The same price for another model."""
    return COMMAND.model_copy(update={"prices": [COMMAND.prices[0].model_copy(update={"model": model})]})


def decided(accounts: Accounts, *inputs: Read | ListPrice) -> tuple[list[Read], list]:
    """The usage among `inputs`, and what accounts writes for all of them, in order."""
    partition = Partition(accounts, NOW)
    for item in inputs:
        if isinstance(item, ListPrice):
            partition.send(item)
        else:
            partition.fold(Event(item.record, item.topic, item.partition, item.offset, item.timestamp))
        partition.advance(0)
    numbered = [record.model_copy(update={"event_id": f"{n}"}) for n, record in enumerate(partition.written)]
    return [item for item in inputs if isinstance(item, Read)], numbered


def audited(usage, written, listings=(COMMAND,)):
    charged = [line for line in written if isinstance(line, UsageCharged)]
    ledger = [ledger_line(line) for line in charged]
    bills = {"acme": sum(line.cost_nanousd for line in charged)} if charged else {}
    commands = [Read(listing, TOPIC, 0, 1_000 + n, NOW) for n, listing in enumerate(listings)]
    return recount(MONTH, Sources([*usage, *commands], on_kafka(*written)), ledger, bills, {}, PUBLISHED)


def test_the_audit_agrees_with_overrides_repricing_fallback_tiers_and_units():
    inputs = [
        *(reported(1, model="ours", **UNITS), COMMAND, reported(2, model="ours", **UNITS)),
        *(reported(3, 200_001, model="gemini-2.5-pro"), reported(4, model="nobody-knows")),
    ]
    assert audited(*decided(Accounts(Policy(fallback_model="gpt-4")), *inputs)).differences == []
    usage, written = decided(ACCOUNTS, *inputs)
    findings = audited(usage, written)
    assert (findings.differences, findings.quarantined, findings.charged_lines) == ([], 1, 3)
    assert [line.usage_id for line in written if isinstance(line, UsageCharged)] == ["u1", "u2", "u3"]


def test_the_audit_charges_each_call_at_what_its_partition_knew_then():
    """A price may be listed for a time that calls were already charged in, where it was published before."""
    usage, written = decided(ACCOUNTS, reported(1), listing_of("claude-3-haiku"), reported(2))
    assert len({line.price_version for line in written if isinstance(line, UsageCharged)}) == 2
    assert audited(usage, written, [listing_of("claude-3-haiku")]).differences == []


def test_a_price_in_force_that_no_operator_listed_is_found():
    usage, written = decided(ACCOUNTS, COMMAND, reported(1, model="ours"))
    (by_the_price, by_the_line) = audited(usage, written, listings=()).differences
    assert "no ListPrice" in by_the_price.what
    assert "expected no price" in by_the_line.what


def test_usage_that_still_waits_though_its_price_is_listed_is_found():
    usage, written = decided(ACCOUNTS, reported(1, model="ours"), COMMAND)
    forgotten = [record for record in written if not isinstance(record, UsageCharged)]
    (difference,) = audited(usage, forgotten).differences
    assert "waits for a price" in difference.what


def test_usage_charged_at_the_fallback_though_it_has_a_price_is_found():
    usage, written = decided(Accounts(Policy(fallback_model="gpt-4")), reported(1, model="nobody-knows"))
    assert audited(usage, written).differences == []
    _, listed = decided(ACCOUNTS, listing_of("nobody-knows"))
    (difference,) = audited(usage, [*listed, *written], [listing_of("nobody-knows")]).differences
    assert "another amount" in difference.what
