"""The operator's prices: which one is in force, what may be listed, and what waited for one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_schemas import records as r
from penstock_schemas.prices import MAX_NANOUSD_PER_MTOK
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.prices import price_at
from penstock_streams.accounts.repricing import REPRICED_AT_ONCE
from penstock_streams.timing import DAY_US, HOUR_US, SECOND_US
from tests.streams.partition import Partition, only


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * SECOND_US


NOW = at(2026, 9, 15)
BEFORE = at(2026, 9, 1)


def accounts(**policy) -> Partition:
    return Partition(Accounts(Policy(**policy)), NOW)


def price(model="ours", since=BEFORE, usd_per_mtok=1, **fields) -> r.ListedPrice:
    nanousd = usd_per_mtok * 10**9
    amounts = dict.fromkeys(("input", "cache_read", "cache_write", "output"), nanousd)
    amounts = {f"{name}_nanousd_per_mtok": amount for name, amount in amounts.items()}
    return r.ListedPrice(model=model, effective_from=since, **(amounts | fields))


def listing(*prices: r.ListedPrice, event_id="list-1") -> r.ListPrice:
    return r.ListPrice(event_id=event_id, tenant_id="_penstock", partition=0, prices=list(prices))


def usage(number=1, model="ours", **fields) -> r.RecordUsage:
    fields = {"input_tokens": 1_000_000, "output_tokens": 0, "tenant_id": "acme"} | fields
    return r.RecordUsage(usage_id=f"u{number}", model=model, **fields)


# Which price


def test_a_listed_price_is_charged_and_named():
    partition = accounts()
    listed = only(partition.send(listing(price(usd_per_mtok=7))), r.PriceListed)
    line = only(partition.send(usage()), r.UsageCharged)
    assert line.cost_nanousd == 7 * 10**9
    assert line.price_version == listed.price_version == "operator/ours@2026-09-01T00:00:00Z"


def test_an_operators_price_goes_before_the_built_in_one_from_its_date_on():
    partition = accounts()
    partition.send(listing(price("claude-3-haiku", NOW)))
    assert only(partition.send(usage(1, "claude-3-haiku")), r.UsageCharged).cost_nanousd == 10**9
    earlier = usage(2, "claude-3-haiku").model_copy(update={"occurred_at": NOW - HOUR_US})
    assert only(partition.send(earlier), r.UsageCharged).price_version == "builtin-1/claude-3-haiku"


@pytest.mark.parametrize("name", ["claude-3-opus-20240229", "anthropic/claude-3-opus", "Anthropic:Claude-3-Opus"])
def test_every_name_of_a_model_has_the_price_of_its_canonical_name(name):
    partition = accounts()
    assert only(partition.send(usage(1, name)), r.UsageCharged).price_version == "builtin-1/claude-3-opus"
    partition.send(listing(price("claude-3-opus", NOW)))
    assert only(partition.send(usage(2, name)), r.UsageCharged).cost_nanousd == 10**9


def test_a_price_listed_for_a_dated_name_is_for_that_name_only():
    partition = accounts()
    partition.send(listing(price("claude-3-opus-20240229", NOW)))
    assert only(partition.send(usage(1, "claude-3-opus-20240229")), r.UsageCharged).cost_nanousd == 10**9
    assert only(partition.send(usage(2, "claude-3-opus")), r.UsageCharged).cost_nanousd == 15 * 10**9


def test_units_are_charged_beside_tokens_and_rounded_with_them():
    partition = accounts()
    unit_prices = {"tool_call_nanousd": 5, "cpu_second_nanousd": 3, "gb_second_nanousd": 2}
    partition.send(listing(price(usd_per_mtok=0, **unit_prices)))
    units = {"tool_calls": 2, "sandbox_cpu_ms": 1_500, "sandbox_gb_ms": 500}
    assert only(partition.send(usage(**units)), r.UsageCharged).cost_nanousd == 16  # 10 + 4.5 + 1, half to even
    assert only(partition.send(usage(2, tool_calls=-1)), r.UsageQuarantined).reason == "invalid_usage"


def test_a_cost_no_line_can_hold_is_quarantined_and_not_buried():
    partition = accounts()
    partition.send(listing(price(usd_per_mtok=10_000)))
    line = only(partition.send(usage(input_tokens=10**12)), r.UsageQuarantined)
    assert line.reason == "invalid_usage"


def test_under_the_fallback_policy_an_unknown_model_costs_what_the_fallback_does_and_the_line_says_so():
    partition = accounts(fallback_model="gpt-4")
    line = only(partition.send(usage(model="nobody-knows")), r.UsageCharged)
    assert (line.cost_nanousd, line.price_version) == (30 * 10**9, "fallback/builtin-1/gpt-4")
    assert (line.model, only(partition.send(usage(2, "gpt-4")), r.UsageCharged).price_version) == (
        "nobody-knows",
        "builtin-1/gpt-4",
    )


def test_a_fallback_without_a_price_leaves_unknown_usage_in_quarantine():
    partition = accounts(fallback_model="nobody-knows-either")
    assert only(partition.send(usage(model="nobody-knows")), r.UsageQuarantined).reason == "unknown_model"


@given(st.lists(st.integers(0, 20), unique=True, max_size=8), st.integers(0, 21))
def test_the_price_in_force_is_the_latest_effective_one(days, asked):
    partition = accounts()
    partition.send(listing(*(price(since=BEFORE + day * DAY_US, usd_per_mtok=day) for day in days)))
    found = price_at(partition, Policy(), "ours", BEFORE + asked * DAY_US)
    expected = max((day for day in days if day <= asked), default=None)
    assert (found and found.input_nanousd_per_mtok) == (None if expected is None else expected * 10**9)


# Listing


def test_the_same_listing_twice_is_answered_alike_and_changes_nothing():
    partition = accounts()
    first = partition.send(listing(price()))
    rows = dict(partition.rows)
    assert partition.send(listing(price())) == first
    assert partition.rows == rows


ABSURD = {"input_nanousd_per_mtok": MAX_NANOUSD_PER_MTOK + 1}


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (price(usd_per_mtok=2), "price_conflict"),
        (price(since=BEFORE + DAY_US), "overlapping"),
        (price("other", input_nanousd_per_mtok=-1), "invalid_price"),
        (price("other", tool_call_nanousd=-1), "invalid_price"),
        (price("other", **ABSURD), "invalid_price"),
        (price("other", since=at(2200, 1, 1)), "invalid_price"),
        (price(" other"), "invalid_price"),
    ],
)
def test_what_cannot_be_listed_is_refused_with_its_reason_and_all_of_its_command_with_it(refused, reason):
    partition = accounts()
    partition.send(listing(price()))
    rows = dict(partition.rows)
    written = partition.send(listing(price("sound"), refused, event_id="list-2"))
    answer = only(written, r.PriceRefused)
    assert (answer.reason, answer.model, answer.refused_event_id) == (reason, refused.model, "list-2")
    assert written == [answer]
    assert partition.rows == rows


def test_two_prices_of_one_command_for_the_same_date_are_in_conflict():
    answer = only(accounts().send(listing(price(), price(usd_per_mtok=2))), r.PriceRefused)
    assert answer.reason == "price_conflict"
    assert (
        only(accounts().send(listing(price(), price(usd_per_mtok=2))), r.PriceRefused).reason == "price_conflict"
    )


def test_more_prices_than_a_command_may_have_are_refused():
    many = [price(f"m{number}") for number in range(1_001)]
    assert only(accounts().send(listing(*many)), r.PriceRefused).reason == "too_many_prices"


def test_a_price_before_the_first_one_and_one_after_now_are_no_overlap():
    partition = accounts()
    partition.send(listing(price()))
    partition.send(listing(price(since=BEFORE - DAY_US, usd_per_mtok=2)))
    partition.send(listing(price(since=NOW, usd_per_mtok=3)))
    versions = partition.rows["price/ours"].versions
    assert [version.input_nanousd_per_mtok // 10**9 for version in versions] == [2, 1, 3]


def test_partitions_decide_alike_however_late_each_receives_a_command():
    command = listing(price(since=NOW)).model_copy(update={"occurred_at": NOW})
    one, other = accounts(), accounts()
    for partition in (one, other):
        partition.send(listing(price()))
    other.now += DAY_US
    assert one.send(command) == other.send(command)


# What waited


def test_usage_of_an_unknown_model_is_charged_once_when_a_price_for_its_time_is_listed():
    partition = accounts()
    quarantined = only(partition.send(usage()), r.UsageQuarantined)
    partition.send(listing(price(since=BEFORE)))
    (line,) = partition.advance(0)
    assert isinstance(line, r.UsageCharged)
    assert (line.usage_id, line.cost_nanousd, line.period) == ("u1", 10**9, quarantined.period)
    assert (line.usage_topic, line.usage_offset) == (quarantined.usage_topic, quarantined.usage_offset)
    partition.send(listing(price(since=BEFORE)))
    partition.send(usage())
    partition.advance(HOUR_US)
    assert len(partition.all(r.UsageCharged)) == 1
    assert not [key for key in partition.rows if key.startswith("unpriced")]


def test_usage_before_the_price_begins_goes_on_waiting_for_one_that_covers_it():
    partition = accounts()
    partition.send(usage(1))
    partition.send(usage(2).model_copy(update={"occurred_at": NOW + 60 * SECOND_US}))
    partition.send(listing(price(since=NOW + SECOND_US)))
    assert [line.usage_id for line in partition.advance(0)] == ["u2"]
    partition.send(listing(price(since=BEFORE, usd_per_mtok=2), event_id="list-2"))
    (line,) = partition.advance(0)
    assert (line.usage_id, line.cost_nanousd) == ("u1", 2 * 10**9)


@pytest.mark.parametrize("calls", [1, REPRICED_AT_ONCE, 2 * REPRICED_AT_ONCE + 1])
def test_much_waiting_usage_is_charged_some_at_a_time_and_all_of_it(calls):
    partition = accounts()
    for number in range(calls):
        partition.send(usage(number))
    partition.send(listing(price()))
    steps = []
    while partition.timers.pop("reprice/ours", None) is not None:
        steps.append(len(partition.decide_timer("reprice/ours")))
    assert max(steps) <= REPRICED_AT_ONCE
    assert sorted(line.usage_id for line in partition.all(r.UsageCharged)) == sorted(f"u{n}" for n in range(calls))


def test_usage_that_comes_while_others_are_still_walked_is_neither_lost_nor_doubled():
    partition = accounts()
    for number in range(REPRICED_AT_ONCE + 5):
        partition.send(usage(number))
    partition.send(listing(price(since=NOW)))
    del partition.timers["reprice/ours"]
    partition.decide_timer("reprice/ours")
    late = usage(999).model_copy(update={"occurred_at": NOW - HOUR_US})
    assert only(partition.send(late), r.UsageQuarantined)
    partition.send(listing(price(since=BEFORE), event_id="list-2"))
    partition.advance(HOUR_US)
    charged = [line.usage_id for line in partition.all(r.UsageCharged)]
    assert len(charged) == len(set(charged)) == REPRICED_AT_ONCE + 6


def test_usage_that_was_quarantined_as_invalid_never_waits_for_a_price():
    partition = accounts()
    partition.send(usage(output_tokens=-1))
    partition.send(listing(price()))
    partition.advance(HOUR_US)
    assert partition.all(r.UsageCharged) == []
