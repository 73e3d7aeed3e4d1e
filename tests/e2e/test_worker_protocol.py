"""docs/worker-protocol.md is enough to write a worker; and what a worker does wrong is answered, not suffered."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from penstock_schemas import routing
from tests.e2e.conftest import FOREIGN_QUEUE, Stack
from tests.e2e.foreign_worker import COMMANDS, EXECUTIONS, ForeignWorker, partition_for
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[ForeignWorker]:
    worker = new_worker(stack)
    yield worker
    worker.close()


def new_worker(stack: Stack, worker_id: str | None = None) -> ForeignWorker:
    addresses = stack.env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"], stack.env["PENSTOCK_REGISTRY_URL"]
    return ForeignWorker(*addresses, FOREIGN_QUEUE, worker_id)


def requested(stack: Stack, worker: ForeignWorker) -> dict[str, Any]:
    """An execution that waits in the queue no worker of ours serves."""
    arguments = ("run", "translate", "--input", "guten Tag", "--tenant", "foreign", "--queue", FOREIGN_QUEUE)
    done = stack.penstock(*arguments)
    assert done.returncode == 0, done.stderr
    execution_id = done.stdout.strip()
    while (dispatch := worker.next_dispatch())["execution_id"] != execution_id:
        worker.answered()  # a repeated hint of an earlier test's
    return dispatch


def granted(stack: Stack, worker: ForeignWorker) -> dict[str, Any]:
    dispatch = requested(stack, worker)
    name, _ = worker.claim(dispatch)
    assert name == "LeaseGranted"
    worker.answered()
    return dispatch


def commands_partition(worker: ForeignWorker, dispatch: dict[str, Any]) -> int:
    return partition_for(dispatch["execution_id"], worker.partitions[COMMANDS])


def state_of(stack: Stack, execution_id: str) -> dict[str, Any]:
    state: dict[str, Any] = stack.json("get", execution_id)
    return state


def ends_well(stack: Stack, worker: ForeignWorker, dispatch: dict[str, Any]) -> None:
    """Nothing is wedged: the attempt that holds the lease completes."""
    worker.finish(dispatch, "completed", output="good day")
    _, completed = worker.event(dispatch["execution_id"], "ExecutionCompleted")
    assert (completed["output"], completed["epoch"]) == ("good day", dispatch["epoch"])


@pytest.mark.parametrize("key", ["", "a", "ab", "abc", "abcd", "host:17:9dec7295", "ä" * 33])
def test_the_pages_murmur2_is_kafkas(key: str):
    assert partition_for(key, 12) == routing.partition_for(key, 12)


def test_a_worker_written_from_the_page_runs_an_execution_to_its_bill(stack: Stack, worker: ForeignWorker):
    dispatch = requested(stack, worker)
    name, lease = worker.claim(dispatch)
    assert (name, lease["hold_ms"]) == ("LeaseGranted", 30_000)
    again, repeated = worker.claim(dispatch)  # an answer that was lost is asked for again
    assert (again, repeated["epoch"], repeated["deadline_at"]) == (name, lease["epoch"], lease["deadline_at"])
    worker.answered()

    partition = commands_partition(worker, dispatch)
    confirmed = worker.heartbeat(partition, [(dispatch["execution_id"], dispatch["epoch"])])
    assert (confirmed["partition"], confirmed["hold_ms"]) == (partition, 30_000)
    held = state_of(stack, dispatch["execution_id"])["lease"]
    assert (held["worker_id"], held["epoch"], held["is_locked"]) == (worker.id, 1, True)

    worker.progress(dispatch, 1, "looking words up")
    worker.progress(dispatch, 2, "putting them in order")
    worker.progress(dispatch, 1, "looking words up")  # a tail that was sent again
    worker.usage(dispatch, 1, "gpt-4", input_tokens=1_000, output_tokens=10)
    worker.finish(dispatch, "completed", output="good day", last_seq=2)

    watched = stack.penstock("watch", dispatch["execution_id"], "--json")
    assert watched.returncode == 0, watched.stderr
    shown = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [x["seq"] for x in shown if x["record_type"] == "ProgressReported"] == [1, 2]
    assert shown[-1]["record_type"] in ("ExecutionCompleted", "ProgressReported")

    def charged() -> bool:
        state = state_of(stack, dispatch["execution_id"])
        assert (state["status"], state["output"], state["lease"]) == ("completed", "good day", None)
        return bool(state["cost_nanousd"] > 0)

    eventually(charged)


def test_a_result_of_a_worker_that_never_held_the_lease_is_reported_as_stale(stack: Stack, worker: ForeignWorker):
    dispatch = granted(stack, worker)
    stranger = new_worker(stack)
    try:
        stranger.finish(dispatch, "completed", output="mine!")
        _, stale = worker.event(dispatch["execution_id"], "StaleAttemptReported")
        assert (stale["worker_id"], stale["status"], stale["current_epoch"]) == (stranger.id, "completed", 1)
    finally:
        stranger.close()
    ends_well(stack, worker, dispatch)


def test_another_epoch_is_denied_a_lease_and_its_result_is_stale(stack: Stack, worker: ForeignWorker):
    dispatch = granted(stack, worker)
    other = dispatch | {"epoch": 99}
    name, denied = worker.claim(other)
    assert (name, denied["reason"]) == ("LeaseDenied", "stale_epoch")
    worker.finish(other, "completed", output="from the future")
    _, stale = worker.event(dispatch["execution_id"], "StaleAttemptReported")
    assert (stale["epoch"], stale["current_epoch"]) == (99, 1)
    ends_well(stack, worker, dispatch)


def test_of_two_workers_with_one_id_the_second_claim_is_denied(stack: Stack, worker: ForeignWorker):
    dispatch = granted(stack, worker)
    twin = new_worker(stack, worker.id)
    try:
        name, denied = twin.claim(dispatch, claim_id="the-twins-own")
        assert (name, denied["reason"]) == ("LeaseDenied", "held")
        ends_well(stack, worker, dispatch)
        twin.finish(dispatch, "failed", error_type="Twin")  # the first terminal state is the only one
        worker.event(dispatch["execution_id"], "StaleAttemptReported")
    finally:
        twin.close()
    assert state_of(stack, dispatch["execution_id"])["status"] == "completed"


def test_a_heartbeat_for_what_is_not_held_is_revoked(stack: Stack, worker: ForeignWorker):
    worker.heartbeat(0, [("nobody-knows-this", 7)])
    _, revoked = worker.lease_answer(lambda name, said: said.get("execution_id") == "nobody-knows-this")
    assert (revoked["epoch"], revoked["reason"]) == (7, "unknown")


@pytest.mark.parametrize("partition", [-1, 2**31 - 1], ids=["negative", "far too large"])
def test_a_heartbeat_for_a_partition_there_is_not_is_confirmed_as_it_was_sent(
    worker: ForeignWorker, partition: int
):
    confirmed = worker.heartbeat(partition, [])
    assert (confirmed["partition"], confirmed["worker_id"]) == (partition, worker.id)


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        ("FinishAttempt", {"epoch": -1, "status": "completed", "last_seq": 0}),
        ("FinishAttempt", {"epoch": 1, "status": "won", "last_seq": 0}),
        ("ClaimLease", {"epoch": 0, "claim_id": "c"}),
    ],
    ids=["negative epoch", "unknown status", "epoch 0"],
)
def test_a_command_that_breaks_the_contract_is_a_dead_letter(stack: Stack, worker: ForeignWorker, record, fields):
    dispatch = granted(stack, worker)
    broken = worker._about(dispatch) | {"worker_id": worker.id} | fields
    worker.command(record, broken)

    def letters() -> list[dict[str, Any]]:
        sent = [x for x in stack.json("dlq", "list") if x["source_topic"] == COMMANDS]
        return [x for x in sent if broken["event_id"].encode() in _bytes(x["value"])]

    (letter,) = eventually(letters)
    assert (letter["error_code"], letter["stage"]) == ("invalid_record", "executions")
    ends_well(stack, worker, dispatch)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


@pytest.mark.parametrize("last_seq", [-5, 10 * 366 * 86_400 * 1_000_000], ids=["negative", "ten years"])
def test_an_impossible_last_seq_holds_up_no_follower(stack: Stack, worker: ForeignWorker, last_seq: int):
    dispatch = granted(stack, worker)
    worker.progress(dispatch, 1, "one")
    worker.finish(dispatch, "completed", output="done", last_seq=last_seq)
    watched = stack.penstock("watch", dispatch["execution_id"])
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.splitlines()[-1] == "done"
    assert ("gap" in watched.stdout) == (last_seq > 0)
    eventually(lambda: stack.json("list", "--tenant", "foreign", "--status", "completed"))


def test_progress_after_the_end_is_shown_to_nobody(stack: Stack, worker: ForeignWorker):
    dispatch = granted(stack, worker)
    worker.finish(dispatch, "completed", output="over", last_seq=0)
    worker.event(dispatch["execution_id"], "ExecutionCompleted")
    worker.progress(dispatch, 1, "still at it")
    worker.flush()
    watched = stack.penstock("watch", dispatch["execution_id"])
    assert watched.returncode == 0
    assert "still at it" not in watched.stdout


def test_a_flood_of_heartbeats_is_answered_and_others_are_served(stack: Stack, worker: ForeignWorker):
    dispatch = granted(stack, worker)
    partition = commands_partition(worker, dispatch)
    pair = {"execution_id": dispatch["execution_id"], "epoch": dispatch["epoch"]}
    for seq in range(1_000_000, 1_005_000):
        beat = worker._stamp("_penstock") | {"partition": partition, "worker_id": worker.id, "heartbeat_seq": seq}
        worker.produce(COMMANDS, f"{EXECUTIONS}.Heartbeat", beat | {"leases": [pair]}, partition)
    worker.flush()
    worker.lease_answer(lambda name, said: said.get("heartbeat_seq") == 1_004_999)
    ends_well(stack, worker, dispatch)


def test_after_all_that_nothing_was_restarted(stack: Stack):
    processes = stack.json("status")["processes"]
    assert all(process["state"] == "healthy" and process["restarts"] == 0 for process in processes), processes
