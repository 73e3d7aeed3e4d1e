"""What a follower shows and when it is done, whatever order and repeats Kafka gives it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.followed import Followed
from penstock_schemas import records as r
from tests.sdk.script import Execution

RUN = Execution("acme", "one")
OTHER = Execution("acme", "two")


def followed(*records: r.Record, request_event_id: str | None = None) -> Followed:
    seen = Followed(RUN.id, request_event_id)
    for record in records:
        seen.accept(record)
    return seen


def test_records_of_other_executions_are_ignored():
    seen = Followed(RUN.id)
    assert not seen.accept(OTHER.completed())
    assert not seen.accept(
        r.TenantConfigured(tenant_id="a", tier="free", concurrency=1, queue_limit=1, suspended=False)
    )
    assert not seen.seen_any


def test_it_ends_with_the_terminal_event_and_its_last_progress_in_either_order():
    assert not followed(RUN.started(), RUN.completed(last_seq=1)).ended
    assert followed(RUN.started(), RUN.completed(last_seq=1), RUN.progress(1)).ended
    assert followed(RUN.progress(1), RUN.completed(last_seq=1)).ended
    assert followed(RUN.completed(last_seq=0)).ended


@pytest.mark.parametrize("ending", [RUN.timed_out(), RUN.failed("attempts_exhausted"), RUN.cancelled()])
def test_an_end_whose_last_progress_nobody_knows_ends_it_at_once(ending: r.Record):
    seen = followed(RUN.started(), RUN.progress(1), ending)
    assert seen.ended
    assert not seen.accept(RUN.progress(2))


def test_a_rejection_ends_it_at_once():
    assert followed(RUN.rejected("budget")).ended


def test_a_refusal_ends_it_for_the_sender_of_the_refused_request_only():
    refusal = RUN.refused("mine")
    assert followed(refusal, request_event_id="mine").ended
    assert not followed(refusal, request_event_id="another's").ended
    assert not followed(refusal).ended


def test_a_later_attempt_closes_an_earlier_one():
    seen = followed(RUN.started(1), RUN.progress(1, epoch=1), RUN.started(2))
    assert not seen.accept(RUN.progress(2, epoch=1))
    assert seen.accept(RUN.progress(1, epoch=2))


def test_progress_of_an_attempt_may_come_before_the_event_that_starts_it():
    seen = followed(RUN.progress(1, epoch=2), RUN.started(2))
    assert not seen.accept(RUN.progress(1, epoch=2))
    assert seen.accept(RUN.progress(2, epoch=2))


@given(last=st.integers(1, 20), resend_from=st.lists(st.integers(1, 20), max_size=5))
def test_whatever_tail_is_resent_each_progress_is_shown_once_and_in_order(last: int, resend_from: list[int]):
    """A worker sends 1..last, each time it loses its connection again from somewhere it had reached."""
    sent: list[int] = []
    for start in (1, *resend_from):
        sent += range(min(start, last), last + 1)
    seen = Followed(RUN.id)
    shown = [seq for seq in sent if seen.accept(RUN.progress(seq))]
    assert shown == list(range(1, last + 1))


def test_progress_from_before_the_next_attempt_counts_although_it_is_read_later():
    seen = followed(RUN.started(1), RUN.progress(1))
    seen.accept(RUN.started(2), at_ms=1_000)
    assert seen.accept(RUN.progress(2), at_ms=999)
    assert not seen.accept(RUN.progress(3), at_ms=1_001)  # a zombie's
    assert seen.accept(RUN.progress(1, epoch=2), at_ms=1_002)
    assert not seen.accept(RUN.progress(3), at_ms=998)  # a repeat that comes after the next attempt's progress


def test_a_gap_is_told_once_and_before_what_follows_it():
    seen = followed(RUN.started(1), RUN.progress(1))
    gap, record = seen.accept(RUN.progress(4))
    assert (gap.epoch, gap.from_seq, gap.to_seq, record.seq) == (1, 2, 3, 4)
    assert seen.accept(RUN.progress(5)) == (RUN.progress(5),)
    assert not seen.accept(RUN.progress(3))


def test_progress_missing_at_the_end_is_a_gap_once_nothing_more_can_come():
    seen = followed(RUN.started(1), RUN.progress(1), RUN.completed(last_seq=4))
    assert not seen.ended
    (gap,) = seen.give_up()
    assert (gap.from_seq, gap.to_seq) == (2, 4)
    assert seen.ended
    assert not seen.give_up()


def test_progress_written_after_the_end_is_ignored():
    seen = followed(RUN.started(1), RUN.completed(last_seq=2))
    assert not seen.accept(RUN.progress(3))
    assert not seen.accept(RUN.progress(1, epoch=2))
    assert seen.accept(RUN.progress(1))
    assert seen.accept(RUN.progress(2))
    assert seen.ended
