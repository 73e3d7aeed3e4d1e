"""Cancelling where executions decides: at once where nothing runs, by the worker where something does."""

from __future__ import annotations

import pytest

from penstock_schemas import records as r
from penstock_streams.timing import SECOND_US
from tests.streams.executions.test_lifecycle import (
    HOLD_US,
    claim,
    executions,
    finish,
    heartbeat,
    running,
    start,
    stop,
)
from tests.streams.partition import kinds, only


def test_a_dispatched_one_ends_at_once_is_settled_and_is_never_dispatched_or_granted_again():
    partition = executions()
    partition.send(start())
    cancelled, settled = partition.send(stop())
    assert (cancelled.reason, cancelled.attempts, cancelled.last_seq) == ("enough", 0, 0)
    assert (settled.status, settled.accepted_epoch) == ("cancelled", None)
    assert partition.advance(3600 * SECOND_US) == []
    assert only(partition.send(claim()), r.LeaseDenied).reason == "finished"


def test_one_that_waits_for_its_next_attempt_ends_at_once_and_is_not_retried():
    partition = running()
    partition.send(finish(status="failed", retryable=True, error_type="Flaky"))
    assert kinds(partition.send(stop())) == ["ExecutionCancelled", "SettleExecution"]
    assert partition.advance(3600 * SECOND_US) == []


def test_a_running_one_is_told_to_its_worker_and_ends_with_what_the_worker_reports():
    partition = running()
    revoked = only(partition.send(stop()), r.LeaseRevoked)
    assert (revoked.worker_id, revoked.epoch, revoked.reason) == ("w1", 1, "cancelled")
    cancelled = only(partition.send(finish(status="cancelled")), r.ExecutionCancelled)
    assert (cancelled.epoch, cancelled.last_seq, cancelled.reason) == (1, 7, "enough")


@pytest.mark.parametrize("status", ["failed", "timed_out", "handed_back", "cancelled"])
def test_whatever_ends_a_cancelled_run_without_a_result_is_the_cancellation(status):
    partition = running()
    partition.send(stop())
    assert kinds(partition.send(finish(status=status, retryable=True))) == [
        "ExecutionCancelled",
        "SettleExecution",
    ]
    assert partition.advance(3600 * SECOND_US) == []


def test_a_result_that_was_under_way_is_accepted():
    partition = running()
    partition.send(stop())
    assert kinds(partition.send(finish())) == ["ExecutionCompleted", "SettleExecution"]


def test_a_worker_that_did_not_hear_is_told_again_with_each_heartbeat_and_keeps_its_lease_meanwhile():
    partition = running()
    partition.send(stop())
    partition.send(claim())  # repeated: the same grant, and still to be stopped
    for _ in range(3):
        partition.advance(HOLD_US - SECOND_US)
        revoked, _ = partition.send(heartbeat("w1", ("e1", 1)))
        assert (type(revoked), revoked.reason) == (r.LeaseRevoked, "cancelled")


def test_a_worker_that_died_meanwhile_delays_the_end_by_its_lease_and_no_longer():
    partition = running()
    partition.send(stop())
    assert kinds(partition.advance(HOLD_US)) == ["AttemptLost", "ExecutionCancelled", "SettleExecution"]


def test_the_run_deadline_ends_a_cancelled_run_whose_worker_goes_on():
    partition = running(timeout_s=10)
    partition.send(stop())
    assert kinds(partition.advance(13 * SECOND_US)) == ["LeaseRevoked", "ExecutionCancelled", "SettleExecution"]


@pytest.mark.parametrize("given_", [[], [start(), claim(), finish()], [start(), stop()]])
def test_what_is_over_or_forgotten_cannot_be_stopped_and_says_so(given_):
    partition = executions()
    for record in given_:
        partition.send(record)
    refused = only(partition.send(stop()), r.CancelRefused)
    assert (refused.reason, refused.refused_event_id) == ("finished", "cancel-1")


def test_stopping_twice_tells_the_worker_twice_and_ends_it_once():
    partition = running()
    partition.send(stop(reason="first"))
    partition.send(stop(reason="second"))
    assert only(partition.send(finish(status="cancelled")), r.ExecutionCancelled).reason == "first"


def test_a_worker_that_reports_a_cancellation_nobody_asked_for_has_failed():
    partition = running()
    assert kinds(partition.send(finish(status="cancelled"))) == ["ExecutionFailed", "SettleExecution"]
