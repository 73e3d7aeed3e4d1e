"""Whatever ends the execution of a turn, conversations is told once, in the same decision."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_schemas import records as r
from penstock_schemas.ids import execution_id
from penstock_schemas.traces import TraceContext
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.executions.decide import Executions
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.executions.traces import traced
from tests.streams.partition import Partition, kinds, only

TURN = {"conversation_id": "c1", "turn_number": 3, "user_id": "ann"}
PAST = r.HistoryMessage(turn_number=2, role="user", said_at=5, content="before")


def request(request_id: str = "r1", **fields: Any) -> r.RequestExecution:
    values = {"input": "hello", "history": [PAST], **TURN} | fields
    return r.RequestExecution(tenant_id="acme", request_id=request_id, agent_type="echo", **values)


def accounts(concurrency: int = 1) -> Partition:
    partition = Partition(Accounts(Policy()))
    partition.send(r.ConfigureTenant(tenant_id="acme", tier="free", concurrency=concurrency, monthly_tokens=10**9))
    return partition


def running(**fields: Any) -> Partition:
    """An execution of a turn that a worker holds."""
    partition = Partition(traced(Executions(LeaseTimes())))
    start = {"input": "hello", "history": [PAST], "timeout_s": 60, "max_attempts": 1, **TURN} | fields
    about = {"tenant_id": "acme", "execution_id": "e1"}
    partition.send(
        r.StartExecution(**about, request_id="r1", agent_type="echo", **start),
        trace=TraceContext(f"00-{'1' * 32}-{'2' * 16}-01"),
    )
    partition.send(r.ClaimLease(**about, epoch=1, claim_id="c", worker_id="w"))
    return partition


def ended(partition: Partition, status: str, **fields: Any) -> list[r.Record]:
    about = {"tenant_id": "acme", "execution_id": "e1", "epoch": 1, "worker_id": "w", "last_seq": 1}
    return partition.send(r.FinishAttempt(**about, status=status, **fields))


def test_the_turn_and_its_history_reach_the_worker():
    partition = accounts()
    start = only(partition.send(request()), r.StartExecution)
    assert (start.conversation_id, start.turn_number, start.history) == ("c1", 3, [PAST])
    (hint,) = running().all(r.ExecutionDispatched)
    assert (hint.conversation_id, hint.turn_number, hint.history) == ("c1", 3, [PAST])


def test_a_completed_run_brings_its_output_and_tokens_in_the_trace_of_the_request():
    partition = running()
    written = ended(partition, "completed", output="done", used_tokens=42)
    assert kinds(written) == ["ExecutionCompleted", "SettleExecution", "FinishTurn"]
    finish = only(written, r.FinishTurn)
    assert (finish.status, finish.output, finish.used_tokens) == ("completed", "done", 42)
    assert (finish.conversation_id, finish.turn_number, finish.user_id) == ("c1", 3, "ann")
    (trace,) = [output.trace for output in partition.outputs if output.record is finish]
    assert isinstance(trace, TraceContext)
    assert trace.trace_id == "1" * 32


@pytest.mark.parametrize(
    ("status", "fields", "told"),
    [
        ("failed", {"error_type": "Boom", "error_message": "it broke"}, ("failed", "Boom", "it broke")),
        ("timed_out", {}, ("timed_out", "timed_out", "the run deadline of 60 s passed")),
    ],
)
def test_any_other_end_brings_its_reason(status: str, fields: dict[str, Any], told: tuple[str, ...]):
    finish = only(ended(running(), status, **fields), r.FinishTurn)
    assert (finish.status, finish.error_type, finish.error_message) == told


def test_a_worker_that_died_ends_the_turn_as_well():
    partition = running()
    written = partition.advance(10 * LeaseTimes().hold_us)
    assert only(written, r.FinishTurn).error_type == "attempts_exhausted"


def test_an_execution_of_no_conversation_tells_nobody():
    partition = running(conversation_id=None, turn_number=None)
    assert kinds(ended(partition, "completed", output="done")) == ["ExecutionCompleted", "SettleExecution"]


def test_a_turn_that_is_not_admitted_has_ended():
    finish = only(accounts().send(request(queue="nowhere")), r.FinishTurn)
    assert (finish.status, finish.error_type) == ("rejected", "unknown_queue")
    assert finish.execution_id == execution_id("acme", "r1")


def test_a_turn_that_is_cancelled_in_its_tenants_queue_has_ended():
    partition = accounts()
    partition.send(request("first", conversation_id=None, turn_number=None))
    assert kinds(partition.send(request("second"))) == ["ExecutionQueued"]
    cancel = r.CancelExecution(tenant_id="acme", execution_id=execution_id("acme", "second"), reason="enough")
    finish = only(partition.send(cancel), r.FinishTurn)
    assert (finish.status, finish.error_message) == ("cancelled", "enough")


def test_a_turn_whose_request_id_somebody_took_before_has_ended():
    """Only who knows the message's id can; the conversation must not wait for ever."""
    partition = accounts()
    partition.send(request(conversation_id=None, turn_number=None))
    written = partition.send(request())
    assert kinds(written) == ["RequestRefused", "FinishTurn"]
    assert only(written, r.FinishTurn).error_type == "duplicate_mismatch"


def test_what_was_said_before_counts_in_the_reservation():
    def reserved(past: list[r.HistoryMessage]) -> int:
        start = only(accounts().send(request(history=past)), r.StartExecution)
        assert start.reserved_tokens is not None
        return start.reserved_tokens

    by_reference = PAST.model_copy(
        update={"content": None, "content_ref": r.ContentRef(sha256="0" * 64, size=5_000, uri="x")}
    )
    assert reserved([PAST]) - reserved([]) == len("before")
    assert reserved([by_reference]) - reserved([]) == 5_000
