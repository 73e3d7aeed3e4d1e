"""Reading executions' partitions live from Kafka: one consumer for all followers of a client.

Who follows from where the consumer has not been yet reads along. Who starts earlier, or did not take its records
in time, is *late*: a second consumer reads from there until it meets the first, at most one pass over a partition
at a time, and is closed when nobody is late. So no follower delays another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import PenstockError
from penstock.lane import BATCH_RECORDS, Lane
from penstock.tailing import Ends, Tail, same_as


class SharedTail:
    """Every tail of one client.

    Args:
        kafka: where to read.
    """

    def __init__(self, kafka: KafkaConnection) -> None:
        self.kafka = kafka
        self._live: Lane | None = None
        self._late: Lane | None = None
        self._tails: dict[TopicPartition, set[Tail]] = {}
        self._waiting: dict[TopicPartition, set[Tail]] = {}
        """Late tails that wait for the next pass over a partition."""
        self._curious: set[Tail] = set()
        self._joining = asyncio.Lock()
        self._not_joined: tuple[float, PenstockError] | None = None
        """When joining failed last, and with what: whoever waited then fails alike, instead of asking in turn."""

    @asynccontextmanager
    async def tail(self, execution_id: str, positions: Ends, encoding: Encoding) -> AsyncIterator[Tail]:
        """Follow `execution_id` from `positions` on."""
        tail = Tail(execution_id, self, encoding, positions)
        try:
            await self._join(tail)
            yield tail
        finally:
            self._leave(tail)

    def place(self, tail: Tail) -> None:
        """Have every partition of `tail` read: live where its position allows, else by a pass of its own.

        Called when it joins, and whenever it has taken its records and has room again.
        """
        for partition in tail.positions.keys() - tail.lanes.keys():
            if tail in self._tails.get(partition, ()):
                self._place(tail, partition, tail.positions[partition])

    @asynccontextmanager
    async def told_of_positions(self, tail: Tail, until: Ends | None) -> AsyncIterator[None]:
        """While inside, `tail` is woken by every read, not only by records of its own; most never need it."""
        if until is not None:
            self._curious.add(tail)
        try:
            yield
        finally:
            self._curious.discard(tail)

    async def close(self) -> None:
        """Stop reading; whoever still follows is told."""
        lanes = [lane for lane in (self._live, self._late) if lane is not None]
        self._fail(PenstockError("the client was closed while it followed"))
        for lane in lanes:
            await lane.close()

    async def _join(self, tail: Tail) -> None:
        asked_s = time.monotonic()
        async with self._joining:
            if self._not_joined is not None and self._not_joined[0] > asked_s:
                raise same_as(self._not_joined[1])
            try:
                while missing := [p for p in tail.positions if self._live is None or p not in self._live.at]:
                    self._read_live(tail, await self.kafka.end_offsets(missing))
            except PenstockError as exc:
                self._not_joined = (time.monotonic(), exc)
                raise
            for partition in tail.positions:
                self._tails.setdefault(partition, set()).add(tail)
            self.place(tail)

    def _read_live(self, tail: Tail, ends: Ends) -> None:
        """Read from where `tail` starts, or from the end where that is far: whoever joins next wants it live."""
        self._live = self._lane(self._live, self._woken)
        for partition, end in ends.items():
            start = min(end, tail.positions[partition])
            self._live.read(partition, start if end - start <= BATCH_RECORDS else end)

    def _leave(self, tail: Tail) -> None:
        for partition, lane in list(tail.lanes.items()):
            lane.remove(tail, partition)
        for followers in (self._tails, self._waiting):
            for partition in tail.positions:
                followers.get(partition, set()).discard(tail)

    def _place(self, tail: Tail, partition: TopicPartition, position: int) -> None:
        assert self._live is not None, "a tail that has joined has its partitions read live"
        self._waiting.get(partition, set()).discard(tail)
        if position >= self._live.at[partition]:
            self._live.add(tail, partition)
            return
        late = self._late = self._lane(self._late, self._late_read)
        if position >= late.at.get(partition, position + 1):
            late.add(tail, partition)
            return
        self._waiting.setdefault(partition, set()).add(tail)
        if partition not in late.at:
            self._begin_pass(late, partition)

    def _begin_pass(self, late: Lane, partition: TopicPartition) -> None:
        """Read for those who wait, from the first of their positions on."""
        tails = self._waiting.pop(partition, set())
        if not tails:
            if partition in late.at:
                late.drop(partition)
            return
        late.read(partition, min(tail.positions[partition] for tail in tails))
        for tail in tails:
            late.add(tail, partition)

    def _late_read(self) -> None:
        """Move those who have caught up; a pass ends when nobody needs it any more."""
        assert self._live is not None, "late is whoever is behind live"
        assert self._late is not None, "it has just read"
        for partition, at in list(self._late.at.items()):
            live_at = self._live.at.get(partition)  # none where everybody has left
            if live_at is not None and at >= live_at:
                for tail in self._late.tails(partition):
                    self._late.remove(tail, partition)
                    tail.positions[partition] = max(tail.positions[partition], at)
                    self._live.add(tail, partition)
            if not self._late.tails(partition):
                self._begin_pass(self._late, partition)
        self._woken()

    def _woken(self) -> None:
        for tail in self._curious:
            tail.wake()

    def _lane(self, lane: Lane | None, after_batch: Callable[[], None]) -> Lane:
        if lane is not None and not lane.closed:
            return lane
        return Lane(self.kafka, in_use=self._in_use, after_batch=after_batch, failed=self._fail)

    def _in_use(self, partition: TopicPartition) -> bool:
        return bool(self._tails.get(partition))

    def _fail(self, failure: Exception) -> None:
        """Every follower learns of it, as if the consumer were its own; the next one starts anew."""
        tails = {tail for followers in self._tails.values() for tail in followers}
        lanes = [lane for lane in (self._live, self._late) if lane is not None]
        self._live = self._late = None
        self._tails, self._waiting = {}, {}
        for lane in lanes:
            lane.closed = True
        for tail in tails:
            tail.lanes.clear()
            tail.fail(failure)
