"""Timers that fall due later lie in the store alone, and fire as if all had been in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock_streams.kit.later import SOON_US, STEP_US, Timers, indexed
from penstock_streams.kit.rows import TimerRow, encode, timer_key
from penstock_streams.kit.store import LOCAL_PREFIX, Change, Mark, MemoryStore, RocksMemory, RocksStore, Store

SECOND_US = 1_000_000
MINUTE_US = 60_000_000
WEEK_US = 7 * 24 * 60 * MINUTE_US
NAMES = st.sampled_from(["a", "b"])
MINUTES = st.sampled_from([-1, 0, 1, 2, 45, 10_080])
STEPS = st.one_of(
    st.tuples(st.just("set"), NAMES, MINUTES),
    st.tuples(st.just("cancel"), NAMES, st.just(0)),
    st.tuples(st.just("pass"), st.just(""), MINUTES.filter(lambda minutes: minutes >= 0)),
    st.tuples(st.just("restart"), st.just(""), st.sampled_from([-60_000, -10, 0, 10, 60_000])),
    st.tuples(st.just("rebuild"), st.just(""), st.just(0)),
)


class Entry(NamedTuple):
    """Of the index of a store."""

    due: int
    name: str


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

    def index(self) -> list[Entry]:
        """What is in the index, stale entries too."""
        start = len(LOCAL_PREFIX) + len(b"due")
        keys = [key[start:] for key, _ in self.store.between(LOCAL_PREFIX + b"due", LOCAL_PREFIX + b"duf")]
        return [Entry(int.from_bytes(key[:8], "big"), key[8:].decode()) for key in keys]

    def fire(self) -> list[str]:
        """The names that fall due by now, in a step of the task."""
        self.timers.come_near(self.now)
        taken = self.timers.soon.take_due(self.now, grace_over=True, at_most=100)
        self.commit({name: None for name, _ in taken})
        return [name for name, _ in taken]


@example([("set", "a", 45), ("set", "a", 10_080), ("pass", "", 45), ("pass", "", 10_080)])  # an entry went stale
@example([("pass", "", 45), ("set", "a", -1), ("pass", "", 0)])  # overdue when it was set
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
    waiting = set(due_at.values())
    assert {entry.due for entry in table.index()} >= waiting, "one without an entry would not fire after a restart"
    table.now = max([table.now, *(entry.due for entry in table.index())]) + 10 * WEEK_US  # of whatever clock
    table.timers.come_near(table.now)
    left = {entry.due for entry in table.index()}
    assert min(left, default=None) == min(waiting, default=None), "a stale entry was left before those that wait"


@pytest.fixture(params=["memory", "rocksdb"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return Table(MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "0", RocksMemory(8 << 20)))


def test_memory_holds_only_what_falls_due_soon(table: Table) -> None:
    table.commit({f"week-{n}": TimerRow(table.now + WEEK_US + n, False) for n in range(1_000)})
    table.commit({"soon": TimerRow(table.now + SECOND_US, False)})
    assert len(table.timers.soon) == 1
    table.begin()
    assert len(table.timers.soon) == 1
    table.now += SECOND_US
    assert table.fire() == ["soon"]
    table.now += WEEK_US - SECOND_US - SOON_US + STEP_US
    assert table.fire() == []
    assert len(table.timers.soon) == 1_000
    table.now += SOON_US
    assert len(table.fire()) == 100, "at most so many at once"


def test_a_take_over_reads_no_timer_that_falls_due_later(table: Table) -> None:
    table.commit({f"week-{n}": TimerRow(table.now + WEEK_US + n, False) for n in range(1_000)})
    table.commit({"soon": TimerRow(table.now + SECOND_US, False)})
    read = list[bytes]()
    get = table.store.get
    table.store.get = lambda key: (read.append(key), get(key))[1]  # type: ignore[method-assign]
    table.begin()
    assert read == [timer_key("soon")]


def test_entries_are_swept_once_nothing_before_them_waits(table: Table) -> None:
    table.commit({name: TimerRow(table.now + MINUTE_US, False) for name in ("fired", "moved", "cancelled")})
    table.commit({"moved": TimerRow(table.now + 2 * MINUTE_US, False), "cancelled": None})
    table.now += MINUTE_US
    assert table.fire() == ["fired"]
    table.now += STEP_US
    assert table.fire() == []
    assert [entry.name for entry in table.index()] == ["moved"]
    table.now += MINUTE_US
    assert table.fire() == ["moved"]
    table.now += STEP_US
    assert table.fire() == []
    assert table.index() == []
    assert table.store.is_empty()
