"""Cancelling where accounts decides: queued requests end here, admitted ones are stopped by executions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_streams.accounts import model as m
from penstock_streams.accounts.queue import RELEASED_AT_ONCE
from tests.streams.accounts.test_admission import accounts, configure, request, settle
from tests.streams.partition import Partition, kinds, only


def cancel(request_id="r1", tenant="acme", *, of="acme", **fields) -> r.CancelExecution:
    execution_id = ids.execution_id(of, request_id)
    return r.CancelExecution(
        event_id=f"cancel-{request_id}", tenant_id=tenant, execution_id=execution_id, **fields
    )


def queued(*request_ids: str, concurrency: int = 1) -> Partition:
    """The first `concurrency` of them admitted, the others waiting."""
    partition = accounts()
    partition.send(configure(concurrency=concurrency))
    for request_id in request_ids:
        partition.send(request(request_id))
    return partition


def test_a_queued_request_ends_here_and_the_next_one_takes_its_turn():
    partition = queued("a", "b", "c")
    cancelled = only(partition.send(cancel("b", reason="changed my mind")), r.ExecutionCancelled)
    assert (cancelled.request_id, cancelled.epoch, cancelled.reason) == ("b", 0, "changed my mind")
    assert only(partition.send(settle("a")), r.StartExecution).request_id == "c"
    assert partition.send(settle("c")) == []
    assert partition.rows[m.tenant_key("acme")].waiting == 0


def test_an_admitted_one_is_stopped_by_executions_and_keeps_its_slot_until_then():
    partition = queued("a", "b")
    stop = only(partition.send(cancel("a", reason="enough")), r.StopExecution)
    assert (stop.execution_id, stop.reason, stop.requested_by) == (
        ids.execution_id("acme", "a"),
        "enough",
        "cancel-a",
    )
    assert partition.rows[m.tenant_key("acme")].active == 1


@pytest.mark.parametrize(
    ("given_", "asked", "reason"),
    [
        ([], cancel("nobody"), "unknown_execution"),
        ([request("a")], cancel("a", tenant="globex"), "unknown_execution"),
        ([request("a"), settle("a")], cancel("a"), "finished"),
        ([request("a", agent_type="no name!")], cancel("a"), "finished"),
    ],
    ids=["never requested", "another tenant's", "settled", "rejected"],
)
def test_what_cannot_be_cancelled_is_refused_with_the_reason_and_changes_nothing(given_, asked, reason):
    partition = accounts()
    for record in given_:
        partition.send(record)
    before = dict(partition.rows)
    refused = only(partition.send(asked), r.CancelRefused)
    assert (refused.reason, refused.refused_event_id) == (reason, asked.event_id)
    assert partition.rows == before


def test_a_queued_one_is_cancelled_once():
    partition = queued("a", "b")
    partition.send(cancel("b"))
    assert only(partition.send(cancel("b")), r.CancelRefused).reason == "finished"
    assert partition.rows[m.tenant_key("acme")].waiting == 0


def test_the_same_request_after_its_cancellation_is_still_the_same_request():
    partition = queued("a", "b")
    partition.send(cancel("b"))
    assert partition.send(request("b")) == []


def test_cancelled_requests_do_not_count_against_the_queue_limit():
    partition = accounts()
    partition.send(configure(concurrency=1, queue_limit=1))
    partition.send(request("a"))
    partition.send(request("b"))
    assert only(partition.send(request("c")), r.ExecutionRejected).reason == "queue_full"
    partition.send(cancel("b"))
    assert kinds(partition.send(request("d"))) == ["ExecutionQueued"]


def test_a_long_row_of_cancelled_requests_is_stepped_over_by_timers_that_are_due_at_once():
    count = 3 * RELEASED_AT_ONCE
    partition = queued("running", *(f"w{n}" for n in range(count)), "last")
    for n in range(count):
        partition.send(cancel(f"w{n}"))
    assert partition.send(settle("running")) == []
    assert only(partition.advance(0), r.StartExecution).request_id == "last"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["request", "cancel", "settle"]), st.integers(0, 7)), max_size=60))
def test_whatever_is_cancelled_when_the_rest_is_admitted_in_order_and_the_counts_add_up(steps):
    """Every request ends up rejected, cancelled while queued, or started; started ones in arrival order."""
    partition = queued(concurrency=2)
    arrived: list[str] = []
    for what, number in steps:
        name = f"r{number}"
        if what == "request" and name not in arrived:
            arrived.append(name)
        partition.send({"request": request, "cancel": cancel, "settle": settle}[what](name))
        tenant = partition.rows[m.tenant_key("acme")]
        waiting = [row for row in partition.rows.values() if isinstance(row, m.Waiting)]
        assert tenant.waiting == len(waiting)
        assert 0 <= tenant.active <= 2
        assert tenant.active == 2 or not waiting
    started = [start.request_id for start in partition.all(r.StartExecution)]
    cancelled = [event.request_id for event in partition.all(r.ExecutionCancelled)]
    assert not set(started) & set(cancelled)
    assert started == [name for name in arrived if name in started]
