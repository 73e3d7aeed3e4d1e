"""Charging: once per usage_id, at a price with a name, or quarantined; never dropped, never $0."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from penstock_schemas import records as r
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.timing import DAY_US, HOUR_US, SECOND_US
from tests.streams.partition import Partition, only


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * SECOND_US


def accounts(now: int = at(2026, 9, 15)) -> Partition:
    return Partition(Accounts(Policy()), now)


def usage(usage_id="u1", **fields) -> r.RecordUsage:
    fields = {"model": "claude-3-haiku", "input_tokens": 1000, "output_tokens": 100} | fields
    return r.RecordUsage(tenant_id="acme", usage_id=usage_id, **fields)


def test_usage_becomes_one_ledger_line_that_names_its_price_and_its_source():
    line = only(accounts().send(usage(), topic="penstock.accounts.commands.v1"), r.UsageCharged)
    assert line.cost_nanousd == 1000 * 250 + 100 * 1250
    assert (line.price_version, line.period) == ("builtin-1/claude-3-haiku", "2026-09")
    assert (line.usage_topic, line.usage_partition, line.usage_offset) == ("penstock.accounts.commands.v1", 0, 0)


def test_the_same_usage_id_is_charged_once():
    partition = accounts()
    partition.send(usage())
    assert partition.send(usage()) == []


def test_each_bucket_is_charged_at_its_own_price():
    fields = {"input_tokens": 1, "cache_read_tokens": 1, "cache_write_tokens": 1, "output_tokens": 1}
    line = only(accounts().send(usage(model="claude-3-opus", **fields)), r.UsageCharged)
    assert line.cost_nanousd == 15_000 + 1_500 + 18_750 + 75_000


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model": "nobody-knows"}, "unknown_model"),
        ({"input_tokens": -1}, "invalid_usage"),
        ({"output_tokens": 10**12 + 1}, "invalid_usage"),
        ({"output_tokens": 5, "reasoning_tokens": 6}, "invalid_usage"),
    ],
)
def test_what_cannot_be_charged_is_quarantined_with_the_reason(fields, reason):
    assert only(accounts().send(usage(**fields)), r.UsageQuarantined).reason == reason


@pytest.mark.parametrize(
    ("occurred", "received", "period"),
    [
        (at(2026, 8, 31, 23), at(2026, 9, 1, 1), "2026-08"),
        (at(2026, 8, 25), at(2026, 9, 1, 1), "2026-09"),
        (at(2026, 10, 1) + 60 * SECOND_US, at(2026, 10, 1) - 60 * SECOND_US, "2026-10"),
        (at(2026, 10, 1) + HOUR_US, at(2026, 9, 30, 23), "2026-09"),
    ],
)
def test_the_period_is_when_it_happened_if_the_clock_is_credible_else_when_it_arrived(occurred, received, period):
    report = usage().model_copy(update={"occurred_at": occurred})
    assert only(accounts(received).send(report), r.UsageCharged).period == period


def test_a_year_old_report_is_quarantined_as_too_old():
    report = usage().model_copy(update={"occurred_at": at(2025, 9, 1)})
    assert only(accounts().send(report), r.UsageQuarantined).reason == "too_old"


def test_a_report_resent_after_its_id_was_forgotten_is_too_old_and_never_charged_twice():
    partition = accounts(at(2026, 9, 30, 23))
    report = usage().model_copy(update={"occurred_at": partition.now})
    partition.send(report)
    for _ in range(70):
        partition.advance(DAY_US)
        partition.send(report)
    assert len(partition.all(r.UsageCharged)) == 1
    assert {line.reason for line in partition.all(r.UsageQuarantined)} == {"too_old"}
