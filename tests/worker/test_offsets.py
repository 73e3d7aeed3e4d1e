"""Which dispatch offsets may be committed."""

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from penstock_consumers.worker.offsets import OffsetTracker

P, Q = TopicPartition("t", 0), TopicPartition("t", 1)


def reading(partition: TopicPartition, *offsets: int) -> OffsetTracker:
    tracker = OffsetTracker()
    for offset in offsets:
        tracker.read(partition, offset)
    return tracker


def test_nothing_is_committed_past_an_open_claim():
    tracker = reading(P, 5, 6, 7)
    tracker.answered(P, 6)
    tracker.answered(P, 7)
    assert tracker.committable() == {P: 5}
    tracker.answered(P, 5)
    assert tracker.committable() == {P: 8}


def test_what_was_committed_is_not_committed_again():
    tracker = reading(P, 5)
    tracker.answered(P, 5)
    tracker.committed(tracker.committable())
    assert tracker.committable() == {}


def test_a_partition_that_moved_away_is_not_committed_by_its_old_owner():
    tracker = reading(P, 5)
    tracker.read(Q, 1)
    tracker.forget({P})
    tracker.answered(P, 5)
    tracker.answered(Q, 1)
    assert tracker.committable() == {Q: 2}


@given(st.permutations(range(8)))
def test_in_whatever_order_claims_are_answered_the_commit_is_the_first_open_one(order):
    tracker = reading(P, *range(8))
    for done, offset in enumerate(order, 1):
        tracker.answered(P, offset)
        still_open = set(range(8)) - set(order[:done])
        assert tracker.committable() in ({P: min(still_open, default=8)}, {})
    assert tracker.committable() == {P: 8}
