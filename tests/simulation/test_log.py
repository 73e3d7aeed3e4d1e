"""The model of the log does what Kafka does: visibility, fencing, timeouts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from penstock_streams.kit.batch import Message
from tests.simulation.groups import Group
from tests.simulation.log import ABORT_SCAN_US, TRANSACTION_TIMEOUT_US, Log, ProducerFenced
from tests.simulation.scheduler import Scheduler

A, B = ("topic", 0), ("topic", 1)


class Bench:
    """A log whose markers land a millisecond after the decision."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(0)
        self.log = Log(self.scheduler, cast(Any, None), {"topic": 2}, lambda: 1_000)

    def visible(self, target: tuple[str, int] = A) -> list[bytes | None]:
        return [entry.value for entry in self.log.partition(target).read(0, 100)[0]]

    def pass_time(self, us: int) -> None:
        until = self.scheduler.now + us
        self.scheduler.at(until, lambda _: None)
        while self.scheduler.now < until:
            self.scheduler.step()


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.log.on_appended = lambda entry: None
    return bench


def message(value: bytes) -> Message:
    return Message(None, value)


def test_an_open_transaction_hides_what_comes_after_it_until_its_marker_lands(bench: Bench) -> None:
    epoch = bench.log.fence("task")
    transaction = bench.log.begin("task", epoch)
    bench.log.append(A, message(b"before"))
    bench.log.write(transaction, epoch, A, [message(b"inside")])
    bench.log.append(A, message(b"after"))
    assert bench.visible() == [b"before"]
    bench.log.commit(transaction, epoch, "group", {})
    assert bench.visible() == [b"before"]
    bench.pass_time(1_000)
    assert bench.visible() == [b"before", b"inside", b"after"]
    assert bench.log.partition(A).end == 4  # the marker has an offset


def test_an_aborted_transaction_is_never_visible_and_the_position_passes_it(bench: Bench) -> None:
    epoch = bench.log.fence("task")
    bench.log.write(bench.log.begin("task", epoch), epoch, A, [message(b"inside")])
    bench.log.fence("task")
    bench.pass_time(1_000)
    assert bench.log.partition(A).read(0, 100) == ([], 2)


def test_a_fenced_producer_can_neither_write_nor_commit_nor_begin(bench: Bench) -> None:
    old = bench.log.fence("task")
    transaction = bench.log.begin("task", old)
    bench.log.fence("task")
    for attempt in (
        lambda: bench.log.write(transaction, old, A, [message(b"late")]),
        lambda: bench.log.commit(transaction, old, "group", {}),
        lambda: bench.log.begin("task", old),
    ):
        with pytest.raises(ProducerFenced):
            attempt()


def test_a_transaction_left_open_is_aborted_after_its_timeout_and_its_producer_fenced(bench: Bench) -> None:
    epoch = bench.log.fence("task")
    transaction = bench.log.begin("task", epoch)
    bench.log.write(transaction, epoch, A, [message(b"inside")])
    bench.pass_time(TRANSACTION_TIMEOUT_US + ABORT_SCAN_US + 2_000)
    assert transaction.state == "aborted"
    with pytest.raises(ProducerFenced):
        bench.log.commit(transaction, epoch, "group", {})


def test_the_next_transaction_waits_for_the_markers_of_the_last(bench: Bench) -> None:
    epoch = bench.log.fence("task")
    transaction = bench.log.begin("task", epoch)
    bench.log.write(transaction, epoch, A, [message(b"a")])
    bench.log.write(transaction, epoch, B, [message(b"b")])
    bench.log.commit(transaction, epoch, "group", {})
    assert bench.log.busy("task")
    bench.pass_time(1_001)
    assert not bench.log.busy("task")


def test_a_rebalance_assigns_nothing_before_every_live_member_has_let_go() -> None:
    scheduler = Scheduler(0)
    group = Group(scheduler, "group", [0, 1], session_us=6_000_000)
    generation, _ = group.poll("one", 0)
    assert group.poll("one", generation) == (generation, [0, 1])
    group.poll("two", generation + 1)
    assert group.poll("two", generation + 1)[1] is None
    _, owns = group.poll("one", generation + 1)
    assert owns is not None
    assert sorted(owns + (group.poll("two", generation + 1)[1] or [])) == [0, 1]


def test_a_silent_member_is_dropped_after_its_session_and_not_asked() -> None:
    scheduler = Scheduler(0)
    group = Group(scheduler, "group", [0], session_us=6_000_000)
    group.poll("silent", 1)
    while scheduler.step():
        pass
    assert scheduler.now == 6_000_000
    assert not group.may_commit("silent", group.generation)
