"""The life of one execution: one accepted result, whatever order claims, reports and timers come in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas import records as r
from penstock_streams.executions import model as m
from penstock_streams.executions.decide import Executions
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.timing import SECOND_US
from tests.streams.partition import Partition, kinds, only

HOLD_US = LeaseTimes().hold_us
TERMINAL = ("ExecutionCompleted", "ExecutionFailed", "ExecutionTimedOut", "ExecutionCancelled")


def executions() -> Partition:
    return Partition(Executions(LeaseTimes()))


def start(execution="e1", **fields) -> r.StartExecution:
    fields = {"timeout_s": 600, "max_attempts": 3, "input": "hello", "agent_type": "echo"} | fields
    return r.StartExecution(tenant_id="acme", execution_id=execution, request_id=f"r-{execution}", **fields)


def claim(worker="w1", epoch=1, execution="e1") -> r.ClaimLease:
    return r.ClaimLease(
        tenant_id="acme", execution_id=execution, epoch=epoch, claim_id=f"{worker}-{epoch}", worker_id=worker
    )


def finish(worker="w1", epoch=1, status="completed", execution="e1", **fields) -> r.FinishAttempt:
    fields = {"output": "done" if status == "completed" else None, "last_seq": 7} | fields
    return r.FinishAttempt(
        tenant_id="acme", execution_id=execution, epoch=epoch, worker_id=worker, status=status, **fields
    )


def stop(execution="e1", reason="enough") -> r.StopExecution:
    return r.StopExecution(tenant_id="acme", execution_id=execution, reason=reason, requested_by="cancel-1")


def heartbeat(worker="w1", *held: tuple[str, int]) -> r.Heartbeat:
    leases = [r.HeldLease(execution_id=execution, epoch=epoch) for execution, epoch in held]
    return r.Heartbeat(tenant_id="_penstock", partition=0, worker_id=worker, heartbeat_seq=1, leases=leases)


def running(**fields) -> Partition:
    partition = executions()
    partition.send(start(**fields))
    partition.send(claim())
    return partition


def test_start_dispatches_claim_grants_finish_completes_and_settles():
    partition = executions()
    assert only(partition.send(start()), r.ExecutionDispatched).epoch == 1
    assert kinds(partition.send(claim())) == ["AttemptStarted", "LeaseGranted"]
    completed, settled = partition.send(finish())
    assert (completed.output, completed.epoch, completed.attempts, completed.last_seq) == ("done", 1, 1, 7)
    assert (settled.status, settled.accepted_epoch) == ("completed", 1)


def test_starting_twice_dispatches_once():
    partition = executions()
    partition.send(start())
    assert partition.send(start()) == []


def test_a_repeated_claim_gets_the_same_grant_and_starts_no_second_attempt():
    partition = executions()
    partition.send(start())
    first = only(partition.send(claim()), r.LeaseGranted)
    partition.advance(SECOND_US)
    assert partition.send(claim()) == [first]


@pytest.mark.parametrize(
    ("given_", "asked", "reason"),
    [
        ([], claim(), "unknown"),
        ([start(), claim("w1")], claim("w2"), "held"),
        ([start()], claim(epoch=2), "stale_epoch"),
        ([start(), claim(), finish()], claim("w2"), "finished"),
        ([start(), claim(), finish(status="failed", retryable=True)], claim("w2", epoch=2), "not_dispatched"),
    ],
)
def test_a_claim_is_denied_with_the_reason(given_, asked, reason):
    partition = executions()
    for record in given_:
        partition.send(record)
    assert only(partition.send(asked), r.LeaseDenied).reason == reason


def test_an_unclaimed_dispatch_repeats_with_back_off_and_uses_no_attempt():
    partition = executions()
    partition.send(start())
    repeated = [hint for _ in range(4) for hint in partition.advance(60 * SECOND_US)]
    assert [hint.dispatch_seq for hint in repeated] == list(range(2, 2 + len(repeated)))
    assert {hint.epoch for hint in repeated} == {1}
    assert only(partition.send(claim()), r.AttemptStarted).epoch == 1
    assert partition.rows[m.execution_key("e1")].attempts == 1


def test_what_no_worker_claims_fails_after_its_limit_and_frees_its_slot():
    partition = Partition(Executions(LeaseTimes(claimed_within_us=90 * SECOND_US)))
    partition.send(start(queue="forgotten"))
    written = partition.advance(89 * SECOND_US)
    assert set(kinds(written)) == {"ExecutionDispatched"}
    failed, settled = partition.advance(SECOND_US)
    assert (failed.error_type, failed.attempts, settled.status) == ("not_claimed", 0, "failed")
    assert "queue forgotten" in failed.error_message
    assert partition.advance(3600 * SECOND_US) == []


def test_the_wait_of_a_later_attempt_counts_from_its_own_dispatch():
    partition = Partition(Executions(LeaseTimes(claimed_within_us=90 * SECOND_US)))
    partition.send(start())
    partition.advance(80 * SECOND_US)
    partition.send(claim())
    partition.send(finish(status="handed_back"))
    assert set(kinds(partition.advance(80 * SECOND_US))) == {"ExecutionDispatched"}


def test_heartbeats_keep_a_lease_and_silence_loses_it():
    partition = running()
    for _ in range(10):
        partition.advance(HOLD_US - SECOND_US)
        assert kinds(partition.send(heartbeat("w1", ("e1", 1)))) == ["LeaseConfirmed"]
    written = partition.advance(HOLD_US + 2 * SECOND_US)
    assert kinds(written) == ["AttemptLost", "ExecutionDispatched"]
    assert only(written, r.ExecutionDispatched).epoch == 2


def test_a_lease_that_is_granted_but_not_listed_is_lost():
    partition = running()
    partition.send(start("e2"))
    partition.send(claim(execution="e2"))
    partition.advance(HOLD_US - SECOND_US)
    partition.send(heartbeat("w1", ("e2", 1)))
    lost = only(partition.advance(SECOND_US), r.AttemptLost)
    assert (lost.execution_id, lost.reason) == ("e1", "lease_expired")


@pytest.mark.parametrize(
    ("held", "reason"), [(("nobody", 1), "unknown"), (("e1", 9), "stale_epoch"), (("e1", 1), "finished")]
)
def test_what_a_worker_lists_and_does_not_hold_is_revoked(held, reason):
    partition = running()
    if reason == "finished":
        partition.send(finish())
    revoked = only(partition.send(heartbeat("w1", held)), r.LeaseRevoked)
    assert (revoked.execution_id, revoked.epoch, revoked.reason) == (*held, reason)


def test_a_stale_report_changes_nothing():
    partition = running()
    partition.advance(HOLD_US + 2 * SECOND_US)
    partition.send(claim("w2", epoch=2))
    assert only(partition.send(finish("w1", epoch=1)), r.StaleAttemptReported).current_epoch == 2
    assert kinds(partition.send(finish("w2", epoch=2)))[0] == "ExecutionCompleted"


def test_only_the_files_of_the_accepted_attempt_are_the_executions_and_its_stages():
    kept = {n: r.ArtifactsRef(sha256=f"{n}" * 64, size=n, uri=f"/store/{n}") for n in (1, 2)}
    partition = running(pipeline_id="p", stage_index=3)
    partition.advance(HOLD_US + 2 * SECOND_US)
    partition.send(claim("w2", epoch=2))
    late = partition.send(finish("w1", epoch=1, artifacts_ref=kept[1], artifacts=5))
    assert kinds(late) == ["StaleAttemptReported"]
    ended = partition.send(finish("w2", epoch=2, artifacts_ref=kept[2], artifacts=2))
    completed = only(ended, r.ExecutionCompleted)
    assert (completed.artifacts_ref, completed.artifacts) == (kept[2], 2)
    assert only(ended, r.FinishStage).artifacts_ref == kept[2]


def test_a_report_by_a_worker_that_never_held_the_lease_is_stale():
    partition = running()
    assert kinds(partition.send(finish("intruder"))) == ["StaleAttemptReported"]
    assert kinds(executions().send(finish("intruder"))) == ["StaleAttemptReported"]


def test_a_retryable_failure_is_tried_again_until_the_attempts_are_used_up():
    partition = running(max_attempts=2)
    written = partition.send(finish(status="failed", retryable=True, error_type="Flaky"))
    assert kinds(written) == ["AttemptFailed"]
    assert only(partition.advance(2 * SECOND_US), r.ExecutionDispatched).epoch == 2
    partition.send(claim(epoch=2))
    failed = only(partition.send(finish(epoch=2, status="failed", retryable=True)), r.ExecutionFailed)
    assert failed.attempts == 2


def test_a_permanent_failure_ends_it_at_once():
    assert only(running().send(finish(status="failed", error_type="Bad")), r.ExecutionFailed).error_type == "Bad"


def test_an_attempt_handed_back_is_dispatched_at_once_and_not_counted():
    partition = running(max_attempts=1)
    assert kinds(partition.send(finish(status="handed_back"))) == ["AttemptLost", "ExecutionDispatched"]
    partition.send(claim("w2", epoch=2))
    assert only(partition.send(finish("w2", epoch=2)), r.ExecutionCompleted).attempts == 1


def test_a_run_past_its_deadline_times_out_and_its_worker_is_told():
    partition = running(timeout_s=10)
    for _ in range(5):
        partition.advance(2 * SECOND_US)
        partition.send(heartbeat("w1", ("e1", 1)))
    written = partition.advance(2 * SECOND_US)
    assert kinds(written) == ["LeaseRevoked", "ExecutionTimedOut", "SettleExecution"]
    assert kinds(partition.send(finish())) == ["StaleAttemptReported"]


def test_losing_every_attempt_fails_the_execution():
    partition = running(max_attempts=1)
    failed = only(partition.advance(HOLD_US + SECOND_US), r.ExecutionFailed)
    assert failed.error_type == "attempts_exhausted"


def test_an_ended_execution_leaves_only_its_end_and_that_only_for_a_day():
    partition = running()
    partition.send(finish())
    assert list(partition.rows) == [m.execution_key("e1")]
    partition.advance(LeaseTimes().ended_kept_us)
    assert not partition.rows
    assert not partition.timers


workers, epochs = st.sampled_from(["w1", "w2"]), st.integers(1, 4)
steps = st.one_of(
    st.builds(claim, workers, epochs),
    st.builds(
        finish, workers, epochs, st.sampled_from(["completed", "failed", "timed_out", "cancelled", "handed_back"])
    ),
    st.builds(lambda w, e: finish(w, e, "failed", retryable=True), workers, epochs),
    st.builds(lambda w, e: heartbeat(w, ("e1", e)), workers, epochs),
    st.builds(stop),
    st.integers(0, 2 * HOLD_US),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(steps, max_size=40))
def test_any_history_has_at_most_one_terminal_event_growing_epochs_and_one_settlement(history):
    partition = executions()
    partition.send(start(timeout_s=60))
    for step in history:
        partition.advance(step) if isinstance(step, int) else partition.send(step)
    assert sum(kinds(partition.written).count(name) for name in TERMINAL) <= 1
    assert kinds(partition.written).count("SettleExecution") <= 1
    started = [event.epoch for event in partition.all(r.AttemptStarted)]
    assert started == sorted(set(started))
    finished = next((i for i, kind in enumerate(kinds(partition.written)) if kind in TERMINAL), None)
    if finished is not None:
        assert "AttemptStarted" not in kinds(partition.written)[finished:]


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=30))
def test_whatever_happened_an_admitted_execution_ends_once_time_passes(history):
    partition = executions()
    partition.send(start(timeout_s=60))
    for step in history:
        partition.advance(step) if isinstance(step, int) else partition.send(step)
    for _ in range(8):  # a patient worker claims whatever is on offer and finishes it
        partition.advance(120 * SECOND_US)
        execution = partition.rows.get(m.execution_key("e1"))
        if execution is not None and execution.state == "dispatched":
            partition.send(claim("patient", execution.epoch))
            partition.send(finish("patient", execution.epoch))
    assert sum(kinds(partition.written).count(name) for name in TERMINAL) == 1
