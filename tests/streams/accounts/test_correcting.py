"""Corrections: one signed line, so that a call's lines always sum to what it costs as last corrected."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas import records as r
from penstock_services.pricing import Tokens, cost_nanousd
from penstock_services.pricing.published import published_prices
from penstock_streams.accounts import model as m
from penstock_streams.accounts.budget import Budget
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from tests.streams.accounts.test_charging import usage
from tests.streams.accounts.test_closing import NOVEMBER, OCTOBER, closing
from tests.streams.partition import Partition, only

MODEL = "claude-3-haiku"


def accounts(now: int = NOVEMBER) -> Partition:
    return Partition(Accounts(Policy()), now)


def correction(usage_id="u1", event_id="fix-1", **fields) -> r.CorrectUsage:
    fields = {"model": MODEL, "input_tokens": 600, "output_tokens": 100, "reason": "counted twice"} | fields
    return r.CorrectUsage(tenant_id="acme", usage_id=usage_id, event_id=event_id, **fields)


def test_a_correction_books_the_difference_and_says_why():
    partition = accounts()
    charge = only(partition.send(usage()), r.UsageCharged)
    line = only(partition.send(correction(), topic="commands"), r.ChargeAdjusted)
    assert (line.input_tokens, line.output_tokens, line.cost_nanousd) == (-400, 0, -400 * 250)
    assert (line.usage_id, line.corrected_by, line.reason) == ("u1", "fix-1", "counted twice")
    assert (line.period, line.adjusts_period, line.price_version) == ("2026-11", None, charge.price_version)
    assert (line.usage_topic, line.usage_offset, line.occurred_at) == ("commands", 1, NOVEMBER)


def test_a_correction_of_a_closed_month_is_on_the_open_bill():
    partition = accounts()
    partition.send(usage(occurred_at=OCTOBER))
    partition.send(closing())
    line = only(partition.send(correction()), r.ChargeAdjusted)
    assert (line.period, line.adjusts_period, line.occurred_at) == ("2026-11", "2026-10", OCTOBER)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"usage_id": "another"}, "unknown_usage"),
        ({"model": "gpt-4"}, "not_the_call"),
        ({"user_id": "ann"}, "not_the_call"),
        ({"execution_id": "e1"}, "not_the_call"),
        ({"input_tokens": -1}, "invalid_usage"),
        ({"output_tokens": 10**12 + 1}, "invalid_usage"),
        ({"input_tokens": 1_000}, "no_difference"),
    ],
)
def test_what_cannot_be_corrected_is_refused_and_changes_nothing(fields, reason):
    partition = accounts()
    partition.send(usage())
    rows = dict(partition.rows)
    refused = only(partition.send(correction(**fields)), r.CorrectionRefused)
    assert (refused.reason, refused.refused_event_id, partition.rows) == (reason, "fix-1", rows)


def test_a_correction_that_arrives_again_later_does_not_undo_the_next_one():
    partition = accounts()
    partition.send(usage())
    partition.send(correction(event_id="first", input_tokens=600))
    partition.send(correction(event_id="second", input_tokens=700))
    rows = dict(partition.rows)
    assert only(partition.send(correction(event_id="first", input_tokens=600)), r.CorrectionRefused).reason == (
        "no_difference"
    )
    assert partition.rows == rows


def test_another_tenants_call_is_unknown():
    partition = accounts()
    partition.send(usage())
    foreign = correction().model_copy(update={"tenant_id": "other"})
    assert only(partition.send(foreign), r.CorrectionRefused).reason == "unknown_usage"


def test_a_call_that_waits_for_a_price_is_not_corrected():
    partition = accounts()
    partition.send(usage(model="nobody-knows"))
    assert only(partition.send(correction(model="nobody-knows")), r.CorrectionRefused).reason == "awaits_price"


def test_a_quarantined_call_is_charged_for_the_first_time_once_it_is_corrected():
    partition = accounts()
    assert only(partition.send(usage(input_tokens=-1)), r.UsageQuarantined).reason == "invalid_usage"
    line = only(partition.send(correction()), r.UsageCharged)
    assert line.cost_nanousd == 600 * 250 + 100 * 1250
    adjusted = only(partition.send(correction(event_id="fix-2", input_tokens=0)), r.ChargeAdjusted)
    assert adjusted.input_tokens == -600


def test_a_correction_gives_the_budget_back_what_was_too_much():
    partition = accounts()
    partition.send(r.ConfigureTenant(tenant_id="acme", tier="pro", monthly_tokens=10_000))
    partition.send(usage())
    partition.send(correction())
    assert partition.rows[m.budget_key("acme")].spent.tokens == 700


def test_a_correction_of_a_run_that_goes_on_gives_back_to_its_reservation():
    """Also where the first report was above what was reserved."""
    partition = accounts()
    partition.send(r.ConfigureTenant(tenant_id="acme", tier="pro", monthly_tokens=10_000))
    request = r.RequestExecution(
        tenant_id="acme", request_id="r1", agent_type="echo", input="", reserve_tokens=1_000
    )
    partition.send(request)
    (admitted,) = partition.all(r.ExecutionAdmitted)
    call = {"execution_id": admitted.execution_id, "epoch": 1, "call_seq": 1}
    partition.send(usage(output_tokens=500, **call))
    partition.send(correction(**call))
    budget = partition.rows[m.budget_key("acme")]
    assert isinstance(budget, Budget)
    assert (budget.spent.tokens, budget.reserved.tokens) == (700, 300)


COUNTS = st.tuples(*[st.integers(0, 10**9)] * 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=6))
def test_the_lines_of_a_call_sum_to_what_it_costs_as_last_corrected(reports):
    partition = accounts()
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    first, *corrections = [dict(zip(names, counts, strict=True)) for counts in reports]
    partition.send(usage(**first))
    for number, counts in enumerate(corrections):
        partition.send(correction(event_id=f"fix-{number}", **counts))
    lines = [*partition.all(r.UsageCharged), *partition.all(r.ChargeAdjusted)]
    price = published_prices().at(MODEL, NOVEMBER)
    assert price is not None
    assert sum(line.cost_nanousd for line in lines) == cost_nanousd(Tokens(*reports[-1]), price)
    for name, count in zip(names, reports[-1], strict=True):
        assert sum(getattr(line, name) for line in lines) == count
