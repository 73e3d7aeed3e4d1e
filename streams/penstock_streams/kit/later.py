"""The timers of one task: those that fall due soon in memory, all others only in its store, in the order they do.

A row that is forgotten after a week would otherwise take memory for a week. So the store has, beside the timers'
rows, an index by due time. It is this store's own: the changelog knows nothing of it.

What holds at any time: a timer's row has an entry in the index, or it falls due before `_UNTIL`, which is stored
too. An entry may be stale, because its timer was moved or cancelled: whoever reads it asks the row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from penstock_streams.kit.rows import TIMER_PREFIX, TimerRow, decode_timer
from penstock_streams.kit.store import LOCAL_PREFIX, Change, Store
from penstock_streams.kit.timers import TimerQueue

SOON_US = 15 * 60_000_000
"""Longer than most runs take, so that their deadlines are never written to the index."""
STEP_US = 60_000_000
"""How much of the index is read at once."""
SLICE_ROWS = 5_000
"""Rows looked at between two turns of the event loop."""
DUE_BYTES = 8
_INDEX: Final = LOCAL_PREFIX + b"due"
_UNTIL: Final = LOCAL_PREFIX + b"until"


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
        self._until = self._read_up_to = 0

    async def load(self, now: int) -> None:
        """Begin, once the store has been brought up to its changelog.

        Args:
            now: microseconds since the epoch; a wrong one costs memory, or time later, and nothing else.
        """
        stored = self._store.get(_UNTIL)
        self._until = max(now + SOON_US, _int(stored) if stored else 0)
        missing: list[Change] = []
        for number, (key, value) in enumerate(self._store.prefixed(TIMER_PREFIX), 1):
            name, row = decode_timer(key, value)
            if row.due <= self._until:
                self.soon.set(name, row)
            elif stored is None:  # rebuilt, or of a version without an index
                missing.append((_entry(row.due, name), b""))
            if number % SLICE_ROWS == 0:
                self._store.note(missing)
                missing.clear()
                await asyncio.sleep(0)
        self._store.note([*missing, (_UNTIL, _bytes(self._until))])

    def entries(self, timers: Mapping[str, TimerRow | None]) -> list[Change]:
        """What the index needs for `timers`; to be applied together with their rows."""
        return [(_entry(row.due, name), b"") for name, row in timers.items() if row and row.due > self._until]

    def set(self, timers: Mapping[str, TimerRow | None]) -> None:
        """Set, move or cancel timers whose rows and entries have been applied."""
        for name, row in timers.items():
            self.soon.set(name, row if row and row.due <= self._until else None)

    def come_near(self, now: int) -> None:
        """Read what of the index falls due soon; cheap where it was called a moment ago."""
        if now + SOON_US < self._until + STEP_US:
            return
        self._until = now + SOON_US
        read: list[Change] = []
        for entry, _ in self._store.between(_entry(self._read_up_to, ""), _entry(self._until + 1, "")):
            key = TIMER_PREFIX + entry[len(_INDEX) + DUE_BYTES :]
            raw = self._store.get(key)
            if raw is not None:
                name, row = decode_timer(key, raw)
                if entry == _entry(row.due, name):  # else stale
                    self.soon.set(name, row)
            read.append((entry, None))
        self._store.note([*read, (_UNTIL, _bytes(self._until))])
        self._read_up_to = self._until + 1


def _entry(due: int, name: str) -> bytes:
    return _INDEX + _bytes(max(due, 0)) + name.encode()


def _bytes(number: int) -> bytes:
    return number.to_bytes(DUE_BYTES, "big")


def _int(raw: bytes) -> int:
    return int.from_bytes(raw, "big")
