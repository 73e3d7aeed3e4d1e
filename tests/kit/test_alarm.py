"""When timers fire: in order, once, not on unread input, not in a new owner's grace."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from penstock_streams.kit.alarm import Alarm
from penstock_streams.kit.rows import TimerRow
from penstock_streams.kit.timers import TimerQueue

PLAIN, GRACED = TimerRow(1_000, False), TimerRow(1_000, True)


class FakeInputs:
    """One input that ends at `end` and has been read up to `read`."""

    def __init__(self) -> None:
        self.read = self.end = 0

    async def end_offsets(self) -> dict[str, int]:
        return {"in": self.end}

    async def have_read(self, ends: Mapping[str, int]) -> bool:
        return self.read >= ends["in"]


class Bench:
    """An alarm over hand-moved clocks."""

    def __init__(self, grace_s: float = 0.0, **timers: TimerRow) -> None:
        self.now, self.uptime_s, self.inputs, self.timers = 0, 100.0, FakeInputs(), TimerQueue()
        for name, row in timers.items():
            self.timers.set(name, row)
        self.alarm = Alarm(self.timers, self.inputs, lambda: self.now, grace_s, lambda: self.uptime_s)

    async def fired(self) -> list[str]:
        return [name for name, _ in await self.alarm.due(100)]


async def test_a_timer_fires_once_and_not_before_it_is_due() -> None:
    bench = Bench(a=PLAIN)
    bench.now = 999
    assert await bench.fired() == []
    bench.now = 1_000
    assert await bench.fired() == ["a"]
    assert await bench.fired() == []


async def test_an_overdue_timer_waits_until_what_was_unread_when_it_fell_due_has_been_read() -> None:
    bench = Bench(a=PLAIN)
    bench.now, bench.inputs.end, bench.inputs.read = 5_000, 10, 9
    assert await bench.fired() == []
    bench.inputs.end, bench.inputs.read = 20, 10  # what came later does not hold it up
    assert await bench.fired() == ["a"]


async def test_a_record_read_on_the_way_to_the_fence_cancels_the_timer() -> None:
    bench = Bench(a=PLAIN)
    bench.now, bench.inputs.end = 5_000, 10
    assert await bench.fired() == []
    bench.timers.set("a", None)
    bench.inputs.read = 10
    assert await bench.fired() == []


async def test_a_timer_that_fell_due_after_the_fence_needs_a_fence_of_its_own() -> None:
    bench = Bench(a=PLAIN, b=TimerRow(2_000, False))
    bench.now, bench.inputs.end = 1_500, 1
    assert await bench.fired() == []
    bench.now, bench.inputs.end, bench.inputs.read = 3_000, 5, 1
    assert await bench.fired() == ["a"]
    assert await bench.fired() == []
    bench.inputs.read = 5
    assert await bench.fired() == ["b"]


async def test_grace_is_measured_on_the_monotonic_clock_and_holds_only_timers_that_ask_for_it() -> None:
    bench = Bench(grace_s=30.0, held=GRACED, free=PLAIN)
    bench.now = 10**12  # the wall clock jumped
    assert await bench.fired() == ["free"]
    bench.uptime_s += 29.9
    assert await bench.fired() == []
    bench.uptime_s += 0.2
    assert await bench.fired() == ["held"]


async def test_the_wait_ends_when_the_next_timer_is_due_or_grace_ends() -> None:
    bench = Bench(a=TimerRow(300_000, False))
    assert bench.alarm.wait_s() == 0.3
    assert Bench(grace_s=0.5, a=GRACED).alarm.wait_s() == 0.5
    assert Bench().alarm.wait_s() == 1.0


changes = st.lists(
    st.tuples(st.sampled_from("abcd"), st.none() | st.builds(TimerRow, st.integers(0, 9), st.booleans()))
)


@given(changes, st.integers(0, 9), st.booleans())
def test_due_timers_are_what_the_last_change_of_each_name_says(
    given_changes: list[tuple[str, TimerRow | None]], until: int, grace_over: bool
) -> None:
    queue, last = TimerQueue(), dict(given_changes)
    for name, row in given_changes:
        queue.set(name, row)
    due = [(n, r) for n, r in last.items() if r and r.due <= until and (grace_over or not r.after_grace)]
    taken = queue.take_due(until, grace_over=grace_over, at_most=100)
    assert sorted(taken) == sorted(due)
    assert [row.due for _, row in taken] == sorted(row.due for _, row in due)
    assert len(queue) == sum(row is not None for row in last.values()) - len(due)
