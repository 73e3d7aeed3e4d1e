"""What a pipeline reserves: once, for all its stages, which draw from it; the sums agree in any fan-out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_streams.accounts import model as m
from penstock_streams.accounts.budget import ZERO, Amount
from penstock_streams.timing import DAY_US
from tests.streams.accounts.budget_audit import leaks
from tests.streams.accounts.test_budgets import (
    HAIKU,
    accounts,
    budget,
    budgets,
    listing,
    outside,
    price,
    request,
    settle,
    start_call,
    usage,
)
from tests.streams.partition import Partition, kinds, only


def reserve(pipeline: str = "p", stages: int = 10, epoch: int = 1, **fields: Any) -> r.ReservePipeline:
    needs = [r.ModelNeed(model=HAIKU, stages=stages, input_tokens=900 * stages, output_tokens=100 * stages)]
    return r.ReservePipeline(tenant_id="acme", pipeline_id=pipeline, epoch=epoch, **({"needs": needs} | fields))


def release(pipeline: str = "p", epoch: int = 1) -> r.ReleasePipeline:
    return r.ReleasePipeline(tenant_id="acme", pipeline_id=pipeline, epoch=epoch)


def stage(name: str, pipeline: str = "p", epoch: int = 1, **fields: Any) -> r.RequestExecution:
    """The request of a stage that wants 900 tokens of input and 100 of output."""
    values = {
        "pipeline_id": pipeline,
        "stage_index": 0,
        "parent_reservation": ids.pipeline_reservation_id(pipeline, epoch),
        "max_tokens": 100,
    }
    return request(name, tokens=1_000, **(values | fields))


def pool(partition: Partition, pipeline: str = "p", epoch: int = 1) -> m.Pool:
    row = partition.rows[m.pool_key(ids.pipeline_reservation_id(pipeline, epoch))]
    assert isinstance(row, m.Pool)
    return row


def test_a_pipeline_reserves_what_all_its_stages_may_use():
    partition = accounts(monthly_tokens=10_000)
    assert kinds(partition.send(reserve())) == ["PipelineReserved"]
    assert budget(partition).reserved.tokens == 10_000
    refused = only(partition.send(reserve("other", stages=1)), r.PipelineReservationRefused)
    assert (refused.reason, refused.pipeline_id, refused.epoch) == ("budget_exceeded", "other", 1)


def test_stages_draw_from_the_pipeline_and_the_budget_sees_one_sum():
    partition = accounts(monthly_tokens=10_000, monthly_nanousd=10**9)
    partition.send(reserve())
    reserved = budget(partition).reserved
    for number in range(10):
        assert kinds(partition.send(stage(f"s{number}")))[0] in ("ExecutionAdmitted", "ExecutionQueued")
        assert budget(partition).reserved == reserved
    assert pool(partition).left.tokens == 0
    assert only(partition.send(stage("one more")), r.ExecutionRejected).reason == "budget_exceeded"


def test_what_a_stage_costs_stops_it_only_where_a_budget_is_in_dollars():
    """A pipeline whose stages name no model reserves no dollars, and its agents use one that has a price."""
    in_tokens = accounts(monthly_tokens=10_000)
    unpriced = [r.ModelNeed(model="", stages=1, input_tokens=900, output_tokens=100)]
    in_tokens.send(reserve(stages=1, needs=unpriced))
    in_tokens.send(stage("s", model=None))
    assert "StopExecution" not in kinds(in_tokens.send(usage("s", tokens=1_000, model="gpt-4")))
    assert "StopExecution" in kinds(in_tokens.send(usage("s", seq=2, tokens=1)))

    in_dollars = accounts(monthly_nanousd=10**12)
    in_dollars.send(reserve(stages=1))
    in_dollars.send(stage("s"))
    assert "StopExecution" in kinds(in_dollars.send(usage("s", tokens=1_000, model="gpt-4")))


def test_a_share_in_dollars_is_enough_though_each_is_rounded_up():
    """Control: without the nano-dollar per stage the last one would be refused."""
    partition = accounts(monthly_nanousd=10**12)
    needs = [r.ModelNeed(model="odd", stages=7, input_tokens=7, output_tokens=7)]
    partition.send(listing(price("odd", input_nanousd_per_mtok=1, output_nanousd_per_mtok=1)))
    partition.send(reserve(needs=needs))
    for number in range(7):
        drawn = stage(f"s{number}", model="odd", reserve_tokens=2, max_tokens=1)
        assert kinds(partition.send(drawn))[0] in ("ExecutionAdmitted", "ExecutionQueued")
    assert pool(partition).left.nanousd <= 7


def test_what_a_stage_leaves_goes_back_to_its_pipeline_and_the_end_frees_it():
    partition = accounts(monthly_tokens=10_000)
    partition.send(reserve())
    partition.send(stage("s0"))
    partition.send(usage("s0", tokens=300))
    partition.send(settle("s0"))
    assert pool(partition).left.tokens == 9_700
    assert budget(partition).reserved.tokens == 9_700
    partition.send(release())
    assert (budget(partition).reserved, budget(partition).spent.tokens) == (ZERO, 300)


def test_a_reservation_is_made_once_and_released_once_whatever_is_read_again():
    partition = accounts(monthly_tokens=25_000)
    partition.send(reserve())
    assert partition.send(reserve()) == []
    partition.send(release())
    partition.send(release())
    assert partition.send(reserve()) == []
    assert budget(partition).reserved == ZERO
    assert kinds(partition.send(reserve(epoch=2))) == ["PipelineReserved"]


def test_a_refusal_is_remembered_too():
    partition = accounts(monthly_tokens=100)
    assert kinds(partition.send(reserve())) == ["PipelineReservationRefused"]
    partition.send(r.ConfigureTenant(tenant_id="acme", tier="pro", monthly_tokens=10**9))
    assert partition.send(reserve()) == []


def test_a_pool_is_forgotten_in_the_end():
    partition = accounts()
    partition.send(reserve())
    partition.send(release())
    partition.advance(8 * DAY_US)
    assert not any(isinstance(row, m.Pool) for row in partition.rows.values())


@pytest.mark.parametrize(
    "draws", [{"parent_reservation": "no such"}, {"tenant_id": "globex"}, {"parent_reservation": ""}]
)
def test_nothing_is_drawn_from_no_pool_or_another_tenants(draws: dict[str, Any]):
    partition = accounts(monthly_tokens=10_000)
    partition.send(reserve())
    rejected = only(partition.send(stage("s0").model_copy(update=draws)), r.ExecutionRejected)
    assert rejected.reason == "no_reservation"
    assert pool(partition).left.tokens == 10_000


def test_after_the_end_nothing_is_drawn():
    partition = accounts(monthly_tokens=10_000)
    partition.send(reserve())
    partition.send(release())
    assert only(partition.send(stage("s0")), r.ExecutionRejected).reason == "no_reservation"


def test_branches_queue_beyond_the_limit_of_the_queue():
    partition = accounts(concurrency=1, queue_limit=1)
    partition.send(reserve())
    for number in range(5):
        partition.send(stage(f"s{number}"))
    assert len(partition.all(r.ExecutionQueued)) == 4
    assert only(partition.send(request("alone")), r.ExecutionRejected).reason == "queue_full"  # control


@pytest.mark.parametrize("end", ["rejected", "cancelled"])
def test_the_end_of_a_stage_is_told_to_its_pipeline(end: str):
    partition = accounts(concurrency=1)
    partition.send(reserve())
    partition.send(stage("first"))
    if end == "rejected":
        written = partition.send(stage("s", queue="moon"))
    else:
        partition.send(stage("s"))
        cancel = r.CancelExecution(tenant_id="acme", execution_id=ids.execution_id("acme", "s"))
        written = partition.send(cancel)
    finish = only(written, r.FinishStage)
    assert (finish.pipeline_id, finish.stage_index, finish.status) == ("p", 0, end)
    assert leaks(partition) == []


def test_the_audit_sees_a_pool_that_is_off():
    """The control of every look for leaks here."""
    partition = accounts(monthly_tokens=10_000)
    partition.send(reserve())
    key = m.pool_key(ids.pipeline_reservation_id("p", 1))
    partition.rows[key] = replace(pool(partition), left=Amount(1, 1))
    assert leaks(partition) != []


def test_a_suspended_tenant_reserves_nothing():
    partition = accounts(suspended=True)
    refused = only(partition.send(reserve()), r.PipelineReservationRefused)
    assert refused.reason == "tenant_suspended"


def test_a_dollar_budget_refuses_a_pipeline_with_a_stage_that_has_no_price():
    partition = accounts(monthly_nanousd=10**12)
    needs = [r.ModelNeed(model=None, stages=1, input_tokens=1, output_tokens=1)]
    refused = only(partition.send(reserve(needs=needs)), r.PipelineReservationRefused)
    assert refused.reason == "model_not_priced"


def test_a_users_budget_binds_the_pipeline_too():
    partition = accounts(monthly_tokens=100_000)
    partition.send(r.ConfigureUser(tenant_id="acme", user_id="ann", monthly_tokens=9_999))
    assert kinds(partition.send(reserve(user_id="ann"))) == ["PipelineReservationRefused"]
    assert kinds(partition.send(reserve("q", stages=9, user_id="ann"))) == ["PipelineReserved"]
    assert budget(partition, "ann").reserved == Amount(9_000, budget(partition).reserved.nanousd)


KINDS = (
    *("reserve", "reserve", "stage", "stage", "stage", "release", "usage", "start", "settle", "outside"),
    *("cancel", "month", "limits", "price"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.integers(1, 2), st.integers(0, 900)), max_size=60
)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_whatever_happens_no_fan_out_passes_the_budget_and_the_sums_agree(steps: list[Any]):
    """Admission never takes spent and reserved above a limit; only what a run uses beyond its reservation may."""
    limit = 12_000
    partition = accounts(monthly_tokens=limit, monthly_nanousd=10**7, concurrency=2, queue_limit=1)
    for step, which, epoch, tokens in steps:
        name, pipeline, user = f"r{which}-{epoch}", f"p{which % 2}", "ann" if which % 2 else None
        before = budget(partition)
        match step:
            case "reserve":
                partition.send(reserve(pipeline, stages=1 + tokens % 12, epoch=epoch, user_id=user))
            case "stage":
                partition.send(stage(name, pipeline, epoch, user_id=user))
            case "release":
                partition.send(release(pipeline, epoch))
            case "usage":
                partition.send(usage(name, 1 + tokens % 3, tokens * 2, user_id=user))
            case "start":
                partition.send(start_call(name, 1 + tokens % 3, tokens))
            case "settle":
                partition.send(settle(name, accepted=1 if tokens % 2 else None))
            case "outside":
                partition.send(outside(f"o{tokens}", tokens))
            case "cancel":
                partition.send(r.CancelExecution(tenant_id="acme", execution_id=ids.execution_id("acme", name)))
            case "month":
                partition.now += 9 * DAY_US
            case "limits":
                partition.send(r.ConfigureUser(tenant_id="acme", user_id="ann", monthly_tokens=tokens * 9))
            case "price":
                partition.send(listing(price(HAIKU, input_nanousd_per_mtok=tokens * 10**6)))
                partition.advance(0)
        after = budget(partition)
        if step in ("reserve", "stage", "release", "cancel"):
            used = after.reserved.tokens + after.spent.tokens
            assert used <= max(limit, before.reserved.tokens + before.spent.tokens)
        assert leaks(partition) == []
        assert all(b.reserved == b.reserved.at_least_zero() for b in budgets(partition))
