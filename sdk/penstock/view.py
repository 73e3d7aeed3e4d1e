"""A follower's view of one execution: what it sees, and after each item where it could go on. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import NamedTuple

from penstock.followed import Followed, Item
from penstock.models import Cursor, ProgressGap
from penstock.tailing import Placed
from penstock_schemas.topics import EXECUTIONS_EVENTS


class Sighting(NamedTuple):
    """An item, and the cursor of all that follows it."""

    item: Item
    cursor: Cursor


class View:
    """Turns records in their places into sightings.

    Args:
        followed: what has been seen.
        cursor: where the first record to come is found, or before.
    """

    def __init__(self, followed: Followed, cursor: Cursor) -> None:
        self.followed = followed
        self._events_offset = cursor.events_offset
        self._progress_offset = cursor.progress_offset

    def take(self, placed: Placed) -> Iterator[Sighting]:
        """What a record adds to the view."""
        items = self.followed.accept(placed.record, placed.at_ms)
        for item in items:
            if item is placed.record:
                break
            yield Sighting(item, self._cursor(item))
        if placed.topic == EXECUTIONS_EVENTS.name:
            self._events_offset = placed.next_offset
        else:
            self._progress_offset = placed.next_offset
        if items:
            yield Sighting(placed.record, self._cursor(placed.record))

    def give_up(self) -> Iterator[Sighting]:
        """What is missing at the end, where something is."""
        for item in self.followed.give_up():
            yield Sighting(item, self._cursor(item))

    def _cursor(self, item: Item) -> Cursor:
        epoch, seq = (item.epoch, item.to_seq) if isinstance(item, ProgressGap) else self.followed.progress
        return Cursor(
            epoch=epoch,
            seq=seq,
            events_offset=self._events_offset,
            progress_offset=self._progress_offset,
            attempt=self.followed.attempt,
            attempt_at_ms=self.followed.attempt_at_ms,
            last_seq=self.followed.last_seq,
        )


class Follow(AsyncIterator[Item]):
    """The items of one execution as they happen; made by `Client.follow`.

    Close it (`aclose`, or `contextlib.aclosing`) where it is left before its end.
    """

    def __init__(self, sightings: AsyncGenerator[Sighting, None], cursor: Cursor | None = None) -> None:
        self._sightings = sightings
        self.cursor = cursor
        """Follows on exactly after the item that came last; None before the first where that is not known."""

    def __aiter__(self) -> Follow:
        return self

    async def __anext__(self) -> Item:
        item, self.cursor = await anext(self._sightings)
        return item

    async def aclose(self) -> None:
        """Stop following."""
        await self._sightings.aclose()
