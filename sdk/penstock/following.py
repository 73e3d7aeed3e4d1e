"""Following one execution to its end: history from ClickHouse where it is needed, then live from Kafka."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import NotFound
from penstock.followed import Followed
from penstock.history import History
from penstock.models import Cursor, Submission
from penstock.patience import WAIT_S, Deadline, LastChance
from penstock.shared_tail import SharedTail
from penstock.tailing import Tail
from penstock.view import Follow, Sighting, View
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_EVENTS, EXECUTIONS_PROGRESS

Sightings = AsyncGenerator[Sighting, None]

REFUSED_WITHIN_S = 2.0
"""Many times what accounts takes to answer."""


class Following:
    """Follows executions for one client.

    Args:
        kafka: where live records come from.
        encoding: how they are read.
        history: where earlier ones come from.
    """

    def __init__(self, kafka: KafkaConnection, encoding: Encoding, history: History) -> None:
        self._kafka = kafka
        self._encoding = encoding
        self._history = history
        self._shared = SharedTail(kafka)

    async def close(self) -> None:
        await self._shared.close()

    def submitted(self, submission: Submission, timeout_s: float | None) -> Follow:
        """Follow what this client asked for.

        A request id of the caller's own may have been answered long ago: then its history comes first.
        """
        followed = Followed(submission.execution_id, submission.event_id)
        deadline = Deadline(followed, timeout_s)
        if submission.named_by_caller:
            return Follow(self._with_history(followed, deadline, expected=True, sent_at=submission.cursor))
        view = View(followed, submission.cursor)
        return Follow(self._live(view, submission.cursor, deadline, expected=True), submission.cursor)

    def known(self, execution_id: str, timeout_s: float | None) -> Follow:
        """Follow any execution from its first record on; raises `NotFound` where there is none."""
        followed = Followed(execution_id)
        return Follow(self._with_history(followed, Deadline(followed, timeout_s), expected=False))

    def since(self, execution_id: str, cursor: Cursor, timeout_s: float | None) -> Follow:
        """Follow exactly after `cursor`, and nothing earlier."""
        return Follow(self._since(execution_id, cursor, timeout_s), cursor)

    async def until_now(self, execution_id: str) -> list[r.Record]:
        """The records of one execution that exist now: loaded into ClickHouse, or still only on Kafka.

        Raises:
            NotFound: neither knows it.
        """
        followed = Followed(execution_id)
        past = await self._history.of(execution_id)
        found = [item for placed in past.records for item in followed.accept(placed.record, placed.at_ms)]
        if followed.terminal is None:
            async with self._tail(execution_id, past.events_offset, past.progress_offset) as live:
                ends = await live.ends()
                while not live.has_reached(ends):
                    for placed in await live.next(WAIT_S, until=ends):
                        found += followed.accept(placed.record, placed.at_ms)
        if not found:
            raise _unknown(execution_id)
        return [item for item in found if isinstance(item, r.Record)]

    async def _since(self, execution_id: str, cursor: Cursor, timeout_s: float | None) -> Sightings:
        followed = Followed(execution_id, seen=cursor)
        if followed.ended:
            return
        deadline = Deadline(followed, timeout_s)
        if await self._still_on_kafka(execution_id, cursor):
            rest = self._live(View(followed, cursor), cursor, deadline, expected=True)
        else:
            rest = self._with_history(followed, deadline, expected=cursor.events_offset is not None, after=cursor)
        async with aclosing(rest) as sightings:
            async for sighting in sightings:
                yield sighting

    async def _with_history(
        self,
        followed: Followed,
        deadline: Deadline,
        *,
        expected: bool,
        sent_at: Cursor | None = None,
        after: Cursor | None = None,
    ) -> Sightings:
        past = await self._history.of(followed.execution_id)
        seen_events = after.events_offset or 0 if after else 0
        view = View(followed, past.start)
        for placed in past.records:
            if placed.topic == EXECUTIONS_EVENTS.name and placed.next_offset <= seen_events:
                followed.seen_any = True
                continue
            for sighting in view.take(placed):
                yield sighting
        if not followed.ended:
            on = Cursor(events_offset=max(past.events_offset, seen_events), progress_offset=past.progress_offset)
            rest = self._live(view, on, deadline, expected=expected)
        elif sent_at is not None:
            rest = self._refusal(view, sent_at)
        else:
            return
        async with aclosing(rest) as sightings:
            async for sighting in sightings:
                yield sighting

    async def _refusal(self, view: View, sent_at: Cursor) -> Sightings:
        """The refusal of a request sent after its execution had ended, should one come.

        Accounts is silent about an exact repeat, and refuses another body under the same id: only waiting tells
        the two apart.
        """
        followed = view.followed
        give_up_at_s = time.monotonic() + REFUSED_WITHIN_S
        async with self._tail_at(followed.execution_id, sent_at) as live:
            while followed.refused is None and (left_s := give_up_at_s - time.monotonic()) > 0:
                for placed in await live.next(left_s):
                    for sighting in view.take(placed):
                        if followed.refused is not None:  # the rest was in the history
                            yield sighting

    async def _live(self, view: View, cursor: Cursor, deadline: Deadline, *, expected: bool) -> Sightings:
        followed = view.followed
        async with self._tail_at(followed.execution_id, cursor) as live:
            known_until = None if expected or followed.seen_any else await live.ends()
            last_chance: LastChance | None = None
            while not followed.ended:
                until = last_chance.ends if last_chance else known_until
                if until and live.has_reached(until):
                    until = None
                for placed in await live.next(deadline.wait_s(), until):
                    for sighting in view.take(placed):
                        yield sighting
                if known_until and not followed.seen_any and live.has_reached(known_until):
                    raise _unknown(followed.execution_id)
                if followed.awaits_only_progress:
                    last_chance = last_chance or LastChance(await live.ends())
                    if last_chance.passed(live):
                        for sighting in view.give_up():
                            yield sighting

    async def _still_on_kafka(self, execution_id: str, cursor: Cursor) -> bool:
        """Whether everything after `cursor` can be read there."""
        if cursor.events_offset is None or cursor.progress_offset is None:
            return False
        events, progress = await self._partitions(execution_id)
        begins = await self._kafka.begin_offsets([events, progress])
        return begins[events] <= cursor.events_offset and begins[progress] <= cursor.progress_offset

    def _tail_at(self, execution_id: str, cursor: Cursor) -> AbstractAsyncContextManager[Tail]:
        return self._tail(execution_id, cursor.events_offset or 0, cursor.progress_offset or 0)

    @asynccontextmanager
    async def _tail(self, execution_id: str, events_offset: int, progress_offset: int) -> AsyncIterator[Tail]:
        events, progress = await self._partitions(execution_id)
        positions = {events: events_offset, progress: progress_offset}
        async with self._shared.tail(execution_id, positions, self._encoding) as tail:
            yield tail

    async def _partitions(self, execution_id: str) -> tuple[TopicPartition, TopicPartition]:
        return (
            await self._kafka.partition_of(EXECUTIONS_EVENTS, execution_id),
            await self._kafka.partition_of(EXECUTIONS_PROGRESS, execution_id),
        )


def _unknown(execution_id: str) -> NotFound:
    return NotFound(
        f"no execution {execution_id!r} is known to ClickHouse or Kafka; `penstock list` shows those that are"
    )
