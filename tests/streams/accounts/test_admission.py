"""Admission: one answer per request_id, concurrency by tenant, arrival order, typed rejections."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.traces import TraceContext
from penstock_streams.accounts import model as m
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import ANSWERS_KEPT_US, TIERS, Policy
from penstock_streams.timing import DAY_US, HOUR_US
from tests.streams.partition import Partition, kinds, only


def accounts(**policy) -> Partition:
    return Partition(Accounts(Policy(**policy)))


def request(request_id="r1", tenant="acme", **fields) -> r.RequestExecution:
    fields = {"agent_type": "echo", "input": "hello"} | fields
    return r.RequestExecution(event_id=f"event-{request_id}", tenant_id=tenant, request_id=request_id, **fields)


def settle(request_id="r1", tenant="acme") -> r.SettleExecution:
    execution_id = ids.execution_id(tenant, request_id)
    return r.SettleExecution(tenant_id=tenant, execution_id=execution_id, status="completed", accepted_epoch=1)


def configure(tenant="acme", **fields) -> r.ConfigureTenant:
    return r.ConfigureTenant(tenant_id=tenant, **({"tier": "pro"} | fields))


def test_a_request_is_admitted_and_started_under_the_id_its_sender_knows():
    written = accounts().send(request())
    admitted, start = only(written, r.ExecutionAdmitted), only(written, r.StartExecution)
    assert admitted.execution_id == start.execution_id == ids.execution_id("acme", "r1")
    assert (start.timeout_s, start.max_attempts, start.input) == (600, 3, "hello")


def test_the_same_request_again_is_not_answered_again():
    partition = accounts()
    partition.send(request())
    assert partition.send(request().model_copy(update={"event_id": "a retry stamped anew"})) == []


def test_another_body_under_the_same_request_id_is_refused_and_the_execution_goes_on():
    partition = accounts()
    partition.send(request())
    refused = only(partition.send(request(input="something else")), r.RequestRefused)
    assert (refused.reason, refused.refused_event_id) == ("duplicate_mismatch", "event-r1")
    assert partition.rows[m.tenant_key("acme")].active == 1


def test_a_large_input_is_the_same_request_inline_and_by_reference():
    from hashlib import sha256

    partition = accounts()
    partition.send(request(input="long text"))
    digest = sha256(b"long text").hexdigest()
    assert partition.send(request(input=None, input_ref=r.PayloadRef(sha256=digest, size=9, uri="x"))) == []


def test_the_same_request_id_of_another_tenant_is_another_execution():
    partition = accounts()
    partition.send(request())
    assert kinds(partition.send(request(tenant="globex"))) == ["ExecutionAdmitted", "StartExecution"]


def test_requests_above_the_concurrency_wait_and_are_admitted_in_arrival_order():
    partition = accounts()
    partition.send(configure(concurrency=1))
    partition.send(request("a"))
    assert kinds(partition.send(request("b"))) == kinds(partition.send(request("c"))) == ["ExecutionQueued"]
    assert only(partition.send(settle("a")), r.StartExecution).request_id == "b"
    assert only(partition.send(settle("b")), r.StartExecution).request_id == "c"
    assert partition.send(settle("c")) == []


def test_settling_twice_frees_one_slot():
    partition = accounts()
    partition.send(configure(concurrency=2))
    partition.send(request("a"))
    partition.send(request("b"))
    partition.send(settle("a"))
    partition.send(settle("a"))
    assert partition.rows[m.tenant_key("acme")].active == 1


def test_raising_the_concurrency_admits_who_waits():
    partition = accounts()
    partition.send(configure(concurrency=1))
    for name in "abc":
        partition.send(request(name))
    assert kinds(partition.send(configure(concurrency=3))).count("StartExecution") == 2


def test_a_full_queue_rejects():
    partition = accounts()
    partition.send(configure(concurrency=1, queue_limit=1))
    partition.send(request("a"))
    partition.send(request("b"))
    assert only(partition.send(request("c")), r.ExecutionRejected).reason == "queue_full"


def test_one_tenants_queue_does_not_hold_up_another():
    partition = accounts()
    partition.send(configure(concurrency=0))
    partition.send(request("a"))
    assert "StartExecution" in kinds(partition.send(request("a", tenant="globex")))


def test_a_suspended_tenant_is_rejected_and_its_queue_waits():
    partition = accounts()
    partition.send(configure(concurrency=1))
    partition.send(request("a"))
    partition.send(request("b"))
    partition.send(configure(concurrency=1, suspended=True))
    assert only(partition.send(request("c")), r.ExecutionRejected).reason == "tenant_suspended"
    assert partition.send(settle("a")) == []
    assert only(partition.send(configure(concurrency=1)), r.StartExecution).request_id == "b"


def test_an_unconfigured_tenant_has_the_default_tier_or_is_rejected():
    assert only(accounts().send(request()), r.ExecutionAdmitted).tier == "free"
    strict = accounts(default_tier=None)
    assert only(strict.send(request()), r.ExecutionRejected).reason == "unknown_tenant"


def test_an_unknown_tier_has_the_limits_of_free():
    configured = only(accounts().send(configure(tier="platinum")), r.TenantConfigured)
    assert (configured.concurrency, configured.queue_limit) == (
        TIERS["free"].concurrency,
        TIERS["free"].queue_limit,
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"agent_type": "../x"}, "invalid_request"),
        ({"input": None}, "invalid_request"),
        ({"input_ref": r.PayloadRef(sha256="0" * 64, size=1, uri="x")}, "invalid_request"),
        ({"input": "x" * (300 * 1024)}, "input_too_large"),
        ({"max_tokens": -1}, "invalid_request"),
        ({"timeout_s": 0}, "invalid_request"),
        ({"max_attempts": 11}, "invalid_request"),
        ({"queue": "nowhere"}, "unknown_queue"),
        ({"metadata": {"k": "v" * 9000}}, "invalid_request"),
        ({"tenant": "_penstock"}, "invalid_request"),
    ],
)
def test_a_bad_request_is_a_typed_rejection(fields, reason):
    rejected = only(accounts().send(request(**fields)), r.ExecutionRejected)
    assert rejected.reason == reason
    assert rejected.detail


@pytest.mark.parametrize("skew_us", [-5 * DAY_US, HOUR_US])
def test_a_clock_that_is_days_off_is_rejected(skew_us):
    partition = accounts()
    off = request().model_copy(update={"occurred_at": partition.now + skew_us})
    assert only(partition.send(off), r.ExecutionRejected).reason == "clock_skew"


def test_a_rejected_request_id_can_be_used_again_after_seven_days():
    partition = accounts()
    partition.send(request(max_tokens=-1))
    assert partition.send(request(max_tokens=-1)) == []
    partition.advance(ANSWERS_KEPT_US)
    assert kinds(partition.send(request())) == ["ExecutionAdmitted", "StartExecution"]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 4), st.lists(st.tuples(st.sampled_from(["request", "settle"]), st.integers(0, 12)), max_size=60)
)
def test_never_more_active_than_the_concurrency_and_nobody_waits_beside_a_free_slot(concurrency, steps):
    partition, started, settled = accounts(), set(), set()
    partition.send(configure(concurrency=concurrency))
    for kind, number in steps:
        if kind == "request":
            partition.send(request(str(number)))
        elif str(number) in {start.request_id for start in partition.all(r.StartExecution)}:
            partition.send(settle(str(number)))
            settled.add(str(number))
        started = {start.request_id for start in partition.all(r.StartExecution)}
        tenant = partition.rows[m.tenant_key("acme")]
        assert tenant.active == len(started - settled) <= concurrency
        assert not tenant.waiting or tenant.active == concurrency
    assert len(partition.all(r.StartExecution)) == len(started)


def test_a_queued_request_keeps_its_own_trace_when_the_end_of_another_releases_it():
    traces = [TraceContext(f"00-{str(number) * 32}-{'a' * 16}-01") for number in (1, 2)]
    partition = accounts()
    partition.send(configure(tier="free", concurrency=1))
    for request_id, trace in ("r1", traces[0]), ("r2", traces[1]), ("r3", None):
        partition.send(request(request_id), trace=trace)
    for request_id in "r1", "r2":
        partition.send(settle(request_id), trace=traces[0])
    started = {
        each.record.request_id: each.trace for each in partition.outputs if type(each.record) is r.StartExecution
    }
    assert started == {"r1": traces[0], "r2": traces[1], "r3": None}
