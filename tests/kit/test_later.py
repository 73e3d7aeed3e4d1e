"""Timers that fall due later lie in the store alone, and fire as if all had been in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock_streams.kit.later import SOON_US, STEP_US, Timers, indexed
from penstock_streams.kit.rows import TimerRow, encode, timer_key
from penstock_streams.kit.store import Change, Mark, MemoryStore, RocksMemory, RocksStore, Store

MINUTE_US = 60_000_000
WEEK_US = 7 * 24 * 60 * MINUTE_US
NAMES = st.sampled_from(["a", "b"])
MINUTES = st.sampled_from([0, 1, 14, 15, 16, 17, 45, 10_080])
STEPS = st.one_of(
    st.tuples(st.just("set"), NAMES, MINUTES),
    st.tuples(st.just("cancel"), NAMES, st.just(0)),
    st.tuples(st.just("pass"), st.just(""), MINUTES),
    st.tuples(st.just("restart"), st.just(""), st.sampled_from([-60_000, -10, 0, 10, 60_000])),
    st.tuples(st.just("rebuild"), st.just(""), st.just(0)),
    st.tuples(st.just("older version"), st.just(""), st.just(0)),
)


class Table:
    """The timers of a task, its store and its changelog."""

    def __init__(self, store: Store | None = None) -> None:
        self.now = 1_000 * WEEK_US
        self.changelog: list[Change] = []
        self.store = store or MemoryStore()
        self.begin()

    def begin(self, clock_error_us: int = 0) -> None:
        self.timers = Timers(self.store)
        asyncio.run(self.timers.load(self.now + clock_error_us))

    def commit(self, timers: Mapping[str, TimerRow | None]) -> None:
        changes = [(timer_key(name), row and encode(row)) for name, row in timers.items()]
        self.changelog += changes
        self.apply([*changes, *self.timers.entries(timers)])
        self.timers.set(timers)

    def apply(self, changes: Iterable[Change]) -> None:
        self.store.apply(changes, Mark(1, self.now))

    def fire(self) -> list[str]:
        """The names that fall due by now, in a step of the task."""
        self.timers.come_near(self.now)
        taken = self.timers.soon.take_due(self.now, grace_over=True, at_most=100)
        self.commit({name: None for name, _ in taken})
        return [name for name, _ in taken]


@example([("set", "a", 1), ("restart", "", -60_000), ("pass", "", 1)])  # the index had what was soon no more
@example([("set", "a", 45), ("set", "a", 10_080), ("pass", "", 45), ("pass", "", 10_080)])  # an entry went stale
@settings(max_examples=500, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_they_fire_as_if_all_were_in_memory(steps: list[tuple[str, str, int]]) -> None:
    table, due_at = Table(), dict[str, int]()
    for what, name, minutes in steps:
        match what:
            case "set":
                due_at[name] = table.now + minutes * MINUTE_US
                table.commit({name: TimerRow(due_at[name], minutes == 1)})
            case "cancel":
                due_at.pop(name, None)
                table.commit({name: None})
            case "pass":
                table.now += minutes * MINUTE_US
                late = {name: at for name, at in due_at.items() if at <= table.now}
                assert sorted(table.fire()) == sorted(late)
                due_at = {name: at for name, at in due_at.items() if at > table.now}
            case "restart":
                table.begin(minutes * MINUTE_US)
            case "rebuild":
                table.store = MemoryStore()
                table.apply(indexed(table.changelog))
                table.begin()
            case "older version":
                table.store = MemoryStore()
                table.apply(table.changelog)
                table.begin()


@pytest.fixture(params=["memory", "rocksdb"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return Table(MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "0", RocksMemory(8 << 20)))


def test_memory_holds_only_what_falls_due_soon(table: Table) -> None:
    table.commit({f"week-{n}": TimerRow(table.now + WEEK_US + n, False) for n in range(1_000)})
    table.commit({"soon": TimerRow(table.now + MINUTE_US, False)})
    assert len(table.timers.soon) == 1
    table.begin()
    assert len(table.timers.soon) == 1
    table.now += MINUTE_US
    assert table.fire() == ["soon"]
    table.now += WEEK_US - MINUTE_US - SOON_US + STEP_US
    assert table.fire() == []
    assert len(table.timers.soon) == 1_000
    table.now += SOON_US
    assert len(table.fire()) == 100, "at most so many at once"


def test_what_was_read_leaves_the_index_and_stale_entries_with_it(table: Table) -> None:
    table.commit({name: TimerRow(table.now + WEEK_US, False) for name in ("kept", "moved", "cancelled")})
    table.commit({"moved": TimerRow(table.now + 2 * WEEK_US, False), "cancelled": None})
    table.now += WEEK_US
    assert table.fire() == ["kept"]
    assert len(table.timers.soon) == 0
    assert [key[-5:] for key, _ in table.store.between(b"\0due", b"\0duf")] == [b"moved"]
    table.now += WEEK_US
    assert table.fire() == ["moved"]
    assert table.store.is_empty()
