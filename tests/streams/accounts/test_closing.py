"""Closed months: nothing is added to them, and what belongs to them counts in the first open one."""

from __future__ import annotations

import pytest

from penstock_schemas import records as r
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.timing import HOUR_US
from tests.streams.accounts.test_charging import at, usage
from tests.streams.accounts.test_prices import listing, price
from tests.streams.partition import Partition, only

NOVEMBER = at(2026, 11, 1, 9)
OCTOBER = at(2026, 10, 31, 20)


def accounts(now: int = NOVEMBER) -> Partition:
    return Partition(Accounts(Policy()), now)


def closing(period="2026-10", **fields) -> r.ClosePeriod:
    return r.ClosePeriod(event_id="close-1", tenant_id="_penstock", partition=0, period=period, **fields)


def test_a_month_that_is_over_is_closed_by_name():
    closed = only(accounts().send(closing()), r.PeriodClosed)
    assert (closed.period, closed.closed_by, closed.partition) == ("2026-10", "close-1", 0)


@pytest.mark.parametrize(
    ("period", "reason"),
    [
        ("2026-11", "not_over"),
        ("2027-01", "not_over"),
        ("2026-13", "invalid_period"),
        ("2026-1", "invalid_period"),
        ("October", "invalid_period"),
    ],
)
def test_what_is_no_month_or_not_over_is_refused(period, reason):
    partition = accounts()
    refused = only(partition.send(closing(period)), r.PeriodCloseRefused)
    assert (refused.reason, refused.refused_event_id, partition.rows) == (reason, "close-1", {})


@pytest.mark.parametrize("period", ["2026-10", "2026-09"])
def test_closing_again_or_an_earlier_month_is_refused(period):
    partition = accounts()
    partition.send(closing())
    assert only(partition.send(closing(period)), r.PeriodCloseRefused).reason == "already_closed"


def test_the_last_microsecond_of_a_month_is_not_over():
    end = at(2026, 11, 1)
    assert only(accounts().send(closing(occurred_at=end - 1)), r.PeriodCloseRefused).reason == "not_over"
    only(accounts().send(closing(occurred_at=end)), r.PeriodClosed)


def test_usage_of_a_closed_month_is_on_the_first_open_bill_at_its_own_months_price():
    partition = accounts()
    partition.send(listing(price("ours", at(2026, 10, 1), 1), price("ours", at(2026, 11, 1), 5)))
    before = only(partition.send(usage("u1", model="ours", occurred_at=OCTOBER)), r.UsageCharged)
    partition.send(closing())
    after = only(partition.send(usage("u2", model="ours", occurred_at=OCTOBER)), r.UsageCharged)
    assert (before.period, before.adjusts_period) == ("2026-10", None)
    assert (after.period, after.adjusts_period) == ("2026-11", "2026-10")
    assert after.cost_nanousd == before.cost_nanousd


def test_usage_of_the_open_month_is_no_adjustment():
    partition = accounts()
    partition.send(closing())
    line = only(partition.send(usage()), r.UsageCharged)
    assert (line.period, line.adjusts_period) == ("2026-11", None)


def test_what_is_quarantined_late_does_not_change_the_closed_month_either():
    partition = accounts()
    partition.send(closing())
    line = only(partition.send(usage(model="nobody-knows", occurred_at=OCTOBER)), r.UsageQuarantined)
    assert line.period == "2026-11"


def test_a_call_that_waited_for_a_price_while_its_month_was_closed_is_charged_in_the_open_one():
    partition = accounts()
    quarantined = only(partition.send(usage(model="ours", occurred_at=OCTOBER)), r.UsageQuarantined)
    partition.send(closing())
    refused = only(partition.send(listing(price("ours", at(2026, 10, 1)))), r.PriceRefused)
    partition.send(listing(price("ours", at(2026, 11, 1), 2), event_id="list-2"))
    partition.advance(1)
    (line,) = partition.all(r.UsageCharged)
    assert (quarantined.period, refused.reason) == ("2026-10", "period_closed")
    assert (line.period, line.adjusts_period, line.usage_id) == ("2026-11", "2026-10", "u1")
    assert line.cost_nanousd == 2_000 * 1_100


def test_late_usage_counts_on_the_open_months_budget():
    partition = accounts()
    partition.send(r.ConfigureTenant(tenant_id="acme", tier="pro", monthly_tokens=10_000))
    partition.send(closing())
    partition.send(usage(occurred_at=OCTOBER))
    asked = partition.send(r.CheckBudget(tenant_id="acme", tokens=1))
    assert only(asked, r.BudgetChecked).tokens_left == 10_000 - 1_100


def test_what_was_wasted_is_told_in_the_open_month():
    partition = accounts(OCTOBER)
    partition.send(r.RequestExecution(tenant_id="acme", request_id="r1", agent_type="echo", input="x"))
    (admitted,) = partition.all(r.ExecutionAdmitted)
    partition.send(usage(execution_id=admitted.execution_id, epoch=1, call_seq=1))
    partition.advance(13 * HOUR_US)
    partition.send(closing())
    settle = r.SettleExecution(
        tenant_id="acme", execution_id=admitted.execution_id, status="completed", accepted_epoch=2
    )
    assert only(partition.send(settle), r.SpendWasted).period == "2026-11"
