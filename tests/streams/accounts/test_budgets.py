"""Budgets: what is admitted, what stays reserved, what is released, and that the sums agree whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_streams.accounts import model as m
from penstock_streams.accounts.budget import ZERO, Amount, Budget
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.reservations import DEFAULT_OUTPUT_TOKENS, OVERHEAD_TOKENS
from penstock_streams.timing import DAY_US, month_start_us, period_of
from tests.streams.accounts.budget_audit import leaks
from tests.streams.accounts.test_prices import listing, price
from tests.streams.partition import NOW, Partition, kinds, only

HAIKU = "claude-3-haiku"  # 250 nano-USD an input token, 1,250 an output token


def accounts(**limits) -> Partition:
    partition = Partition(Accounts(Policy()))
    partition.send(r.ConfigureTenant(tenant_id="acme", tier="enterprise", **limits))
    return partition


def request(name="r1", tokens=1_000, **fields) -> r.RequestExecution:
    wanted = {"agent_type": "echo", "input": "hi", "reserve_tokens": tokens, "model": HAIKU} | fields
    return r.RequestExecution(event_id=name, tenant_id="acme", request_id=name, **wanted)


def execution(name="r1") -> str:
    return ids.execution_id("acme", name)


def usage(name="r1", seq=1, tokens=100, epoch=1, **fields) -> r.RecordUsage:
    counts = {"model": HAIKU, "input_tokens": tokens, "output_tokens": 0} | fields
    return r.RecordUsage(
        tenant_id="acme",
        usage_id=f"{name}-{epoch}-{seq}",
        execution_id=execution(name),
        epoch=epoch,
        call_seq=seq,
        **counts,
    )


def outside(name, tokens, **fields) -> r.RecordUsage:
    counts = {"model": HAIKU, "input_tokens": tokens, "output_tokens": 0} | fields
    return r.RecordUsage(tenant_id="acme", usage_id=name, **counts)


def start_call(name="r1", seq=1, cap=300, epoch=1) -> r.StartCall:
    return r.StartCall(
        tenant_id="acme",
        usage_id=f"{name}-{epoch}-{seq}",
        execution_id=execution(name),
        epoch=epoch,
        call_seq=seq,
        model=HAIKU,
        cap_tokens=cap,
    )


def settle(name="r1", accepted=1) -> r.SettleExecution:
    status = "completed" if accepted else "failed"
    return r.SettleExecution(
        tenant_id="acme", execution_id=execution(name), status=status, accepted_epoch=accepted
    )


def budget(partition, user=None) -> Budget:
    return partition.rows[m.budget_key("acme", user)]


def budgets(partition) -> list[Budget]:
    return [row for row in partition.rows.values() if isinstance(row, Budget)]


def test_a_budget_for_a_hundred_admits_a_hundred_and_not_one_token_more():
    partition = accounts(monthly_tokens=100_999)
    for number in range(1_000):
        partition.send(request(f"r{number}"))
    admitted = len(partition.all(r.ExecutionAdmitted)) + len(partition.all(r.ExecutionQueued))
    refused = partition.all(r.ExecutionRejected)
    assert (admitted, len(refused)) == (100, 900)
    assert {rejected.reason for rejected in refused} == {"budget_exceeded"}
    assert budget(partition).reserved.tokens == 100_000


def test_a_request_without_a_size_reserves_for_one_call():
    partition = accounts()
    partition.send(request(tokens=None, input="hello"))
    assert budget(partition).reserved == Amount(
        5 + OVERHEAD_TOKENS + DEFAULT_OUTPUT_TOKENS,
        (5 + OVERHEAD_TOKENS) * 300 + DEFAULT_OUTPUT_TOKENS * 1_250,  # a cache write costs more than input
    )


def test_dollars_bind_as_tokens_do():
    partition = accounts(monthly_nanousd=3_000_000)
    partition.send(request("a", max_tokens=1_000))
    rejected = only(partition.send(request("b", tokens=1_401, max_tokens=1_400)), r.ExecutionRejected)
    assert rejected.reason == "budget_exceeded"
    assert "1750300 nanousd" in rejected.detail
    assert kinds(partition.send(request("c", tokens=1_400, max_tokens=1_400)))[0] == "ExecutionAdmitted"


@pytest.mark.parametrize("model", [None, "my-own-llm"])
def test_a_dollar_budget_refuses_what_has_no_price(model):
    partition = accounts(monthly_nanousd=10**12)
    assert only(partition.send(request(model=model)), r.ExecutionRejected).reason == "model_not_priced"


def test_a_users_budget_binds_within_the_tenants():
    partition = accounts(monthly_tokens=10_000)
    partition.send(r.ConfigureUser(tenant_id="acme", user_id="ann", monthly_tokens=1_500))
    assert kinds(partition.send(request("a", user_id="ann")))[0] == "ExecutionAdmitted"
    rejected = only(partition.send(request("b", user_id="ann")), r.ExecutionRejected)
    assert "user 'ann' has 500 left" in rejected.detail
    assert kinds(partition.send(request("c", user_id="bob")))[0] == "ExecutionAdmitted"


def test_a_soft_budget_admits_and_reports():
    partition = accounts(monthly_tokens=100, hard_budget=False)
    assert kinds(partition.send(request()))[0] == "ExecutionAdmitted"
    reached = only(partition.send(usage(tokens=150)), r.BudgetThresholdReached)
    assert (reached.unit, reached.percent, reached.spent, reached.budget) == ("tokens", 100, 150, 100)


def test_each_threshold_is_told_once_a_month():
    partition = accounts(monthly_tokens=1_000)
    for number, tokens in enumerate([499, 1, 100, 200, 199, 1, 500]):
        partition.send(outside(f"u{number}", tokens))
    assert [reached.percent for reached in partition.all(r.BudgetThresholdReached)] == [50, 80, 100]
    partition.now = month_start_us(NOW, 1) + 1
    partition.send(outside("next", 500))
    assert [reached.percent for reached in partition.all(r.BudgetThresholdReached)] == [50, 80, 100, 50]


def test_the_end_releases_what_is_left_and_the_spending_stays():
    partition = accounts(monthly_tokens=10_000)
    partition.send(request())
    partition.send(usage(tokens=100))
    assert (budget(partition).reserved.tokens, budget(partition).spent) == (900, Amount(100, 25_000))
    partition.send(settle())
    assert (budget(partition).reserved, budget(partition).spent.tokens) == (ZERO, 100)


def test_a_rejected_or_cancelled_request_keeps_nothing():
    partition = accounts(monthly_tokens=10_000, concurrency=1)
    partition.send(request("a"))
    partition.send(request("b"))
    assert budget(partition).reserved.tokens == 2_000
    partition.send(r.CancelExecution(tenant_id="acme", execution_id=execution("b")))
    assert budget(partition).reserved.tokens == 1_000
    partition.send(request("c", tokens=9_001))
    assert budget(partition).reserved.tokens == 1_000


def test_the_month_rolls_over_and_open_reservations_carry_over():
    partition = accounts(monthly_tokens=2_000)
    partition.send(request("a"))
    partition.send(usage("a", tokens=400))
    assert only(partition.send(request("b", tokens=1_001)), r.ExecutionRejected).reason == "budget_exceeded"
    partition.now = month_start_us(NOW, 1) + DAY_US
    assert kinds(partition.send(request("c", tokens=1_400)))[0] == "ExecutionAdmitted"
    assert (budget(partition).spent, budget(partition).reserved.tokens) == (ZERO, 2_000)


def test_late_usage_of_the_last_month_is_not_on_this_months_budget():
    partition = accounts(monthly_tokens=2_000)
    partition.now = month_start_us(NOW, 1) + DAY_US // 2
    partition.send(request("a"))
    partition.send(outside("late", 500, occurred_at=partition.now - DAY_US))
    assert budget(partition).spent == ZERO
    assert partition.written[-1].period == period_of(NOW)


def test_a_run_beyond_its_reservation_is_stopped_once():
    partition = accounts(monthly_tokens=10_000)
    partition.send(request(tokens=150))
    assert "StopExecution" not in kinds(partition.send(usage(seq=1, tokens=150)))
    stop = only(partition.send(usage(seq=2, tokens=1)), r.StopExecution)
    assert stop.reason.startswith("budget: used 151 tokens")
    assert "StopExecution" not in kinds(partition.send(usage(seq=3, tokens=1)))
    assert (budget(partition).reserved.tokens, budget(partition).spent.tokens) == (0, 152)


def test_a_run_without_a_hard_budget_is_not_stopped():
    partition = accounts(monthly_tokens=10, hard_budget=False)
    start = only(partition.send(request(tokens=150)), r.StartExecution)
    assert start.reserved_tokens is None
    assert "StopExecution" not in kinds(partition.send(usage(tokens=10_000)))


@pytest.mark.parametrize(
    "asked", [{"model": None}, {"model": HAIKU}], ids=["no model named", "a cheaper one named"]
)
def test_what_a_run_costs_stops_it_only_where_a_budget_is_in_dollars(asked):
    in_tokens = accounts(monthly_tokens=10_000)
    in_tokens.send(request(tokens=150, **asked))
    assert "StopExecution" not in kinds(in_tokens.send(usage(tokens=150, model="gpt-4")))
    assert "StopExecution" in kinds(in_tokens.send(usage(seq=2, tokens=1)))

    in_dollars = accounts(monthly_nanousd=10_000_000_000)
    in_dollars.send(request(tokens=150))
    assert "StopExecution" in kinds(in_dollars.send(usage(tokens=150, model="gpt-4")))


def test_a_call_that_was_never_reported_keeps_its_cap_until_it_is():
    partition = accounts(monthly_tokens=10_000)
    partition.send(request(tokens=1_000))
    partition.send(start_call(seq=1))
    partition.send(usage(seq=1, tokens=100))
    partition.send(start_call(seq=2, cap=300))
    unresolved = only(partition.send(settle()), r.UsageUnresolved)
    assert (unresolved.usage_id, unresolved.reserved_tokens, unresolved.model) == ("r1-1-2", 300, HAIKU)
    assert budget(partition).reserved.tokens == 300
    partition.send(usage(seq=2, tokens=200))
    assert (budget(partition).reserved, budget(partition).spent.tokens) == (ZERO, 300)


def test_a_quarantined_report_closes_its_call_and_counts_once_it_has_a_price():
    partition = accounts(monthly_tokens=10_000)
    partition.send(request(tokens=1_000))
    partition.send(start_call())
    partition.send(usage(model="my-own-llm"))
    assert partition.all(r.UsageUnresolved) == []
    partition.send(settle())
    assert (partition.all(r.UsageUnresolved), budget(partition).reserved) == ([], ZERO)


def test_spending_of_attempts_whose_result_does_not_count_is_told():
    partition = accounts()
    partition.send(request())
    partition.send(usage(epoch=1, tokens=100))
    partition.send(usage(epoch=2, tokens=30))
    partition.send(usage(epoch=1, seq=2, tokens=20))
    wasted = only(partition.send(settle(accepted=2)), r.SpendWasted)
    assert (wasted.wasted_tokens, wasted.wasted_nanousd) == (120, 120 * 250)
    assert only(partition.send(usage(epoch=1, seq=3)), r.UsageCharged).wasted
    assert not only(partition.send(usage(epoch=2, seq=2)), r.UsageCharged).wasted


def test_a_check_answers_and_reserves_nothing():
    partition = accounts(monthly_tokens=10_000)
    partition.send(request(tokens=4_000))
    ask = r.CheckBudget(event_id="ask", tenant_id="acme", tokens=6_000)
    checked = only(partition.send(ask), r.BudgetChecked)
    assert (checked.asked_event_id, checked.admitted, checked.tokens_left) == ("ask", True, 6_000)
    assert checked.nanousd_left is None
    assert checked.resets_at == month_start_us(NOW, 1)
    refused = only(partition.send(ask.model_copy(update={"tokens": 6_001})), r.BudgetChecked)
    assert (refused.admitted, refused.reason) == (False, "budget_exceeded")
    assert budget(partition).reserved.tokens == 4_000


def test_another_tenants_call_touches_nothing():
    partition = accounts(monthly_tokens=10_000)
    partition.send(request())
    foreign = {"tenant_id": "globex"}
    partition.send(start_call().model_copy(update=foreign))
    partition.send(usage().model_copy(update=foreign))
    partition.send(settle().model_copy(update=foreign))
    assert budget(partition).spent == ZERO
    assert budget(partition).reserved.tokens == 1_000
    assert partition.rows[m.reservation_key(execution())].calls == ()


KINDS = (
    *("request", "usage", "start", "settle", "outside", "unpriced"),
    *("price", "cancel", "month", "user", "limits"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(0, 900),
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_the_sums_agree_with_the_rows_and_the_events_whatever_happens(steps):
    partition = accounts(monthly_tokens=3_000, monthly_nanousd=10**7, concurrency=2)
    for step, which, seq, tokens in steps:
        name, user = f"r{which}", "ann" if which % 2 else None
        match step:
            case "request":
                partition.send(request(name, tokens=tokens + 1, user_id=user))
            case "usage":
                partition.send(usage(name, seq, tokens, user_id=user))
            case "start":
                partition.send(start_call(name, seq, tokens))
            case "settle":
                partition.send(settle(name, accepted=seq if seq < 3 else None))
            case "outside":
                partition.send(outside(f"o{tokens}", tokens, user_id=user))
            case "unpriced":
                partition.send(outside(f"m{tokens}", tokens, user_id=user, model="my-own-llm"))
            case "price":
                partition.send(listing(price("my-own-llm")))
                partition.advance(0)
            case "cancel":
                partition.send(r.CancelExecution(tenant_id="acme", execution_id=execution(name)))
            case "month":
                partition.now += 9 * DAY_US
            case "user":
                partition.send(r.ConfigureUser(tenant_id="acme", user_id="ann", monthly_tokens=tokens * 3))
            case "limits":
                partition.send(r.ConfigureTenant(tenant_id="acme", tier="pro", monthly_tokens=tokens * 5))
        assert leaks(partition) == []
        assert all(b.reserved == b.reserved.at_least_zero() for b in budgets(partition))
