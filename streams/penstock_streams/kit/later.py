"""The timers of one task: those that fall due soon in memory, all others only in its store, in the order they do.

A row that is forgotten after a week would otherwise take memory for a week, and a take-over look through all of
them. So the store has, beside the timers' rows, an index by due time. It is this store's own: the changelog knows
nothing of it.

What holds at any time: each timer's row has an entry in the index. An entry may be stale, because its timer fired,
was moved or cancelled: whoever reads it asks the row, and once no timer before it waits it is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from penstock_streams.kit.rows import TIMER_PREFIX, TimerRow, decode_timer
from penstock_streams.kit.store import LOCAL_PREFIX, Change, Store
from penstock_streams.kit.timers import TimerQueue

SOON_US = 60_000_000
"""Longer than leases, and than dispatches are repeated: what is set and moved all the time is never read."""
STEP_US = 1_000_000
"""How much of the index is read at once, at least."""
SLICE_ENTRIES = 5_000
"""Entries looked at between two turns of the event loop."""
DUE_BYTES = 8
_INDEX: Final = LOCAL_PREFIX + b"due"


def indexed(changes: Iterable[Change]) -> Iterator[Change]:
    """`changes` of a changelog, and an entry for each timer among them."""
    for key, value in changes:
        yield key, value
        if value is not None and key.startswith(TIMER_PREFIX):
            name, row = decode_timer(key, value)
            yield _entry(row.due, name), b""


class Timers:
    """Timers that fall due soon are in `soon`; `come_near` brings the others there in time."""

    def __init__(self, store: Store) -> None:
        self.soon = TimerQueue()
        self._store = store
        self._near_until = self._swept_until = 0

    async def load(self, now: int) -> None:
        """Begin, once the store has been brought up to its changelog.

        Args:
            now: microseconds since the epoch; a wrong one costs memory, or time later, and nothing else.
        """
        for number, _ in enumerate(self._brought_near(0, now + SOON_US), 1):
            if number % SLICE_ENTRIES == 0:
                await asyncio.sleep(0)

    def entries(self, timers: Mapping[str, TimerRow | None]) -> list[Change]:
        """What the index needs for `timers`; to be applied together with their rows."""
        waiting = [(row.due, name) for name, row in timers.items() if row]
        self._swept_until = min([self._swept_until, *(due for due, _ in waiting)])
        return [(_entry(due, name), b"") for due, name in waiting]

    def set(self, timers: Mapping[str, TimerRow | None]) -> None:
        """Set, move or cancel timers whose rows and entries have been applied."""
        for name, row in timers.items():
            self.soon.set(name, row if row and row.due <= self._near_until else None)

    def come_near(self, now: int) -> None:
        """Read what of the index falls due soon; cheap where it was called a moment ago.

        Call it only while no timer is taken from `soon` without being fired in the store, too.
        """
        if now + SOON_US >= self._near_until + STEP_US:
            for _ in self._brought_near(self._near_until + 1, now + SOON_US):
                pass
            self._sweep(now)

    def _brought_near(self, first: int, last: int) -> Iterator[bytes]:
        """Entries due from `first` to `last`, each once its timer is in `soon`."""
        self._near_until = last
        for entry, _ in self._store.between(_entry(first, ""), _entry(last + 1, "")):
            key = TIMER_PREFIX + entry[len(_INDEX) + DUE_BYTES :]
            raw = self._store.get(key)
            if raw is not None:
                name, row = decode_timer(key, raw)
                if entry == _entry(row.due, name):  # else stale
                    self.soon.set(name, row)
            yield entry

    def _sweep(self, now: int) -> None:
        """Delete the entries before `now` and before the first timer that waits: all of them are stale."""
        waits = self.soon.next_due(grace_over=True)
        until = now if waits is None else min(now, waits)
        stale = self._store.between(_entry(self._swept_until, ""), _entry(until, ""))
        self._store.note([(entry, None) for entry, _ in stale])
        self._swept_until = until


def _entry(due: int, name: str) -> bytes:
    return _INDEX + max(due, 0).to_bytes(DUE_BYTES, "big") + name.encode()
