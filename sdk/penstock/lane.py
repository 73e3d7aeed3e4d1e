"""One consumer for many tails: reads the partitions they need and gives each record to those it may be about."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from penstock.connecting import KafkaConnection

if TYPE_CHECKING:
    from penstock.tailing import Tail

BATCH_RECORDS = 2_000
"""Of other executions too: a partition carries many."""
WAIT_S = 0.25
"""Longest wait for records before idle partitions are looked at again."""
SILENCE_S = 15.0
"""After this long without a record the cluster is asked for its end offsets: a dead one is then noticed."""
LINGER_S = 5.0
"""A partition nobody follows is read on for this long: changing what is read costs a round of fetching, and where
one execution is followed another often is soon."""
UUID = re.compile(rb"H([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""Text of 36 bytes in Avro (length 36 zigzags to 72, an H) that looks like an id."""


class Audience:
    """Who wants which records of one partition.

    Avro keeps text as it is, so a record about an execution has its id among the bytes; the many of other
    executions need no decoding. Ids that look like ours are found all at once, any others one by one.
    """

    def __init__(self) -> None:
        self._by_id: dict[bytes, set[Tail]] = {}
        self._by_other_text: dict[bytes, set[Tail]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_id or self._by_other_text)

    def __iter__(self) -> Iterator[Tail]:
        for tails in (*self._by_id.values(), *self._by_other_text.values()):
            yield from tails

    def add(self, tail: Tail) -> None:
        self._kind(tail).setdefault(tail.needle, set()).add(tail)

    def remove(self, tail: Tail) -> None:
        tails = self._kind(tail).get(tail.needle, set())
        tails.discard(tail)
        if not tails:
            self._kind(tail).pop(tail.needle, None)

    def of(self, value: bytes) -> set[Tail]:
        """Everyone whom the record in `value` may be about."""
        found: set[Tail] = set()
        if self._by_id:
            for text in UUID.findall(value):
                found |= self._by_id.get(text, set())
        for text, tails in self._by_other_text.items():
            if text in value:
                found |= tails
        return found

    def _kind(self, tail: Tail) -> dict[bytes, set[Tail]]:
        return self._by_id if UUID.fullmatch(b"H" + tail.needle) else self._by_other_text


class Lane:
    """A consumer, its partitions, and the tails on each of them. Runs from the first partition on.

    Args:
        kafka: where to read.
        in_use: whether a partition must stay, also while no tail is on it here.
        after_batch: called after each read, with nothing awaited since.
        failed: called with what ended the lane, before which no tail misses a record.
    """

    def __init__(
        self,
        kafka: KafkaConnection,
        *,
        in_use: Callable[[TopicPartition], bool],
        after_batch: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.at: dict[TopicPartition, int] = {}
        """The next offset of each partition; every visible record before it has been given out."""
        self.closed = False
        self._kafka = kafka
        self._in_use = in_use
        self._after_batch = after_batch
        self._failed = failed
        self._audiences: dict[TopicPartition, Audience] = {}
        self._idle_since_s: dict[TopicPartition | None, float] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._running: asyncio.Task[None] | None = None

    def read(self, partition: TopicPartition, offset: int) -> None:
        """Read `partition` from `offset` on, from now on."""
        known = partition in self.at
        self.at[partition] = offset
        self._audiences.setdefault(partition, Audience())
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        if known and self._consumer is not None:
            self._consumer.seek(partition, offset)
        else:
            self._assign()

    def drop(self, partition: TopicPartition) -> None:
        """Read `partition` no longer."""
        del self.at[partition]
        self._audiences.pop(partition, None)
        self._assign()

    def add(self, tail: Tail, partition: TopicPartition) -> None:
        self._audiences[partition].add(tail)
        tail.lanes[partition] = self

    def remove(self, tail: Tail, partition: TopicPartition) -> None:
        if partition in self._audiences:
            self._audiences[partition].remove(tail)
        tail.lanes.pop(partition, None)

    def tails(self, partition: TopicPartition) -> list[Tail]:
        return list(self._audiences[partition])

    async def close(self) -> None:
        """Stop reading; returns when the consumer is gone."""
        self.closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            async with self._kafka.consumer_at(self.at) as self._consumer:
                await self._read_on(self._consumer)
        except Exception as exc:
            if not self.closed:
                self.closed = True
                self._failed(exc)
        finally:
            self._consumer = None

    async def _read_on(self, consumer: AIOKafkaConsumer) -> None:
        heard_at_s = time.monotonic()
        while not self.closed:
            async with self._kafka.reaching("following"):
                # Nothing is awaited between the end of `getmany` and the last record given out: whoever joins,
                # leaves or moves meanwhile finds `at` and the consumer in step.
                batches = await consumer.getmany(timeout_ms=int(WAIT_S * 1000), max_records=BATCH_RECORDS)
                if self.closed:
                    return
                for partition, messages in batches.items():
                    self._give_out(partition, messages)
                for partition in list(self.at):  # also over transaction markers, which no batch contains
                    self.at[partition] = await consumer.position(partition)
            if self.closed:
                return
            self._after_batch()
            if batches:
                heard_at_s = time.monotonic()
            elif self.at and time.monotonic() - heard_at_s > SILENCE_S:
                await self._kafka.end_offsets(list(self.at))
                heard_at_s = time.monotonic()
            self._forget_idle()

    def _give_out(self, partition: TopicPartition, messages: list[ConsumerRecord[bytes, bytes]]) -> None:
        audience = self._audiences.get(partition)
        if audience is None:
            return
        for message in messages:
            self.at[partition] = message.offset + 1
            if message.value is None or not audience:
                continue
            for tail in audience.of(message.value):
                if not tail.offer(partition, message):
                    self.remove(tail, partition)

    def _assign(self) -> None:
        if self._consumer is not None:
            self._consumer.assign(list(self.at))
            for partition, offset in self.at.items():
                self._consumer.seek(partition, offset)

    def _forget_idle(self) -> None:
        """Drop partitions nobody has needed for a while, and close where none is left."""
        now_s = time.monotonic()
        idle: set[TopicPartition | None] = {p for p in self.at if not self._in_use(p)} if self.at else {None}
        self._idle_since_s = {p: self._idle_since_s.get(p, now_s) for p in idle}
        over = [p for p, since_s in self._idle_since_s.items() if now_s - since_s > LINGER_S]
        for partition in over:
            if partition is None:
                self.closed = True
            else:
                self.drop(partition)
