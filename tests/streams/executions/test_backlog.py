"""A hint that only waits its turn is not repeated: that would make the backlog longer."""

import pytest

from penstock_schemas import records as r
from penstock_streams.executions.decide import Executions
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.timing import SECOND_US
from tests.streams.partition import Partition

EARLIER = [f"earlier-{n}" for n in range(40)]


def executions() -> Partition:
    return Partition(Executions(LeaseTimes()))


def start(execution, **fields):
    about = {"tenant_id": "acme", "execution_id": execution, "request_id": execution, "agent_type": "echo"}
    return r.StartExecution(**about, timeout_s=600, max_attempts=3, input="hello", **fields)


def claim(execution, dispatch_seq=1):
    return r.ClaimLease(
        tenant_id="acme", execution_id=execution, epoch=1, claim_id="c", worker_id="w", dispatch_seq=dispatch_seq
    )


def hinted(written):
    return [record.execution_id for record in written if isinstance(record, r.ExecutionDispatched)]


def with_backlog(waited_s: int, dispatch_seq: int = 1) -> Partition:
    """A queue whose hints lay for that long before they were claimed."""
    partition = executions()
    for execution in EARLIER:
        partition.send(start(execution))
    partition.advance(waited_s * SECOND_US)
    for execution in EARLIER:
        partition.send(claim(execution, dispatch_seq))
    return partition


def test_a_hint_is_repeated_once_it_lies_for_twice_as_long_as_others_did():
    partition = with_backlog(waited_s=4)
    partition.send(start("e1"))
    assert hinted(partition.advance(7 * SECOND_US)) == []
    assert hinted(partition.advance(SECOND_US)) == ["e1"]


def test_a_backlog_that_built_up_meanwhile_is_seen_when_the_repetition_is_due():
    partition = executions()
    for execution in EARLIER:
        partition.send(start(execution))
    partition.advance(2 * SECOND_US)
    partition.send(start("e1"))
    partition.advance(2 * SECOND_US)
    for execution in EARLIER:
        partition.send(claim(execution))
    assert hinted(partition.advance(4 * SECOND_US)) == []
    assert hinted(partition.advance(2 * SECOND_US)) == ["e1"]


@pytest.mark.parametrize("dispatch_seq", [0, 2])
def test_claims_of_repeated_hints_and_of_unnamed_ones_say_nothing_about_the_backlog(dispatch_seq):
    partition = with_backlog(4, dispatch_seq)
    partition.send(start("e1"))
    assert hinted(partition.advance(5 * SECOND_US)) == ["e1"]


def test_another_queues_backlog_delays_no_repetition():
    partition = with_backlog(waited_s=4)
    partition.send(start("e1", queue="other"))
    assert hinted(partition.advance(5 * SECOND_US)) == ["e1"]


def test_after_an_outage_a_hint_is_overdue_within_a_minute():
    partition = with_backlog(waited_s=3600)
    partition.send(start("e1"))
    assert "e1" in hinted(partition.advance(60 * SECOND_US))


def test_quick_claims_end_the_patience_soon():
    partition = with_backlog(waited_s=4)
    for n in range(8):
        partition.send(start(f"quick-{n}"))
        partition.send(claim(f"quick-{n}"))
    partition.send(start("e1"))
    assert hinted(partition.advance(5 * SECOND_US)) == ["e1"]
