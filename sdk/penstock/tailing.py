"""One follower's end of the shared reading: a bounded buffer of what may be about its execution."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from penstock.encoding import Encoding
from penstock.errors import UndecodableRecord
from penstock.lane import Lane
from penstock_schemas import records as r

if TYPE_CHECKING:
    from penstock.shared_tail import SharedTail

log = logging.getLogger("penstock.follow")

MOST_WAITING = 1_000
"""Records one follower may leave untaken; beyond, it is late and reads them again from Kafka."""
MOST_WAITING_BYTES = 1024 * 1024
"""The same in bytes; one record is always taken, whatever its size."""

Ends = Mapping[TopicPartition, int]


class Placed(NamedTuple):
    """A record and what follows it."""

    record: r.Record
    topic: str
    next_offset: int
    """Where in its partition everything later about this execution is found; never past any of it."""
    at_ms: int
    """When Kafka had it, in ms since the epoch."""


class Tail:
    """The records of one execution, as they become visible; made by `SharedTail.tail`."""

    def __init__(self, execution_id: str, shared: SharedTail, encoding: Encoding, positions: Ends) -> None:
        self.needle = execution_id.encode()
        self.positions = dict(positions)
        """What lies before was taken, or is not wanted; while on a lane, the lane's position counts too."""
        self.lanes: dict[TopicPartition, Lane] = {}
        """Where each partition is read for this tail; none while it is late and waits for its turn."""
        self._shared = shared
        self._encoding = encoding
        self._waiting: list[tuple[TopicPartition, ConsumerRecord[bytes, bytes]]] = []
        self._waiting_bytes = 0
        self._failure: Exception | None = None
        self._awake = asyncio.Event()

    async def next(self, wait_s: float, until: Ends | None = None) -> list[Placed]:
        """What has arrived, after at most `wait_s`, or once `until` is reached; empty where nothing has.

        Poison is skipped: whoever owns the topic dead-letters it.

        Raises:
            KafkaUnreachable: the consumer failed, or was silent for long and got no answer when it asked.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s), self._shared.told_of_positions(self, until):
                while not (self._waiting or self._failure or (until and self.has_reached(until))):
                    self._awake.clear()
                    await self._awake.wait()
        taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not taken and self._failure is not None:
            raise same_as(self._failure)
        self._shared.place(self)
        found = []
        for partition, message in sorted(taken, key=lambda at: at[1].timestamp):  # two topics read in turn
            assert message.value is not None, "a tail is offered values"
            try:
                record = await self._encoding.decode(partition.topic, message.value)
            except UndecodableRecord as exc:
                log.warning("%s offset %d skipped: %s", partition, message.offset, exc)
                continue
            found.append(Placed(record, partition.topic, message.offset + 1, message.timestamp))
        return found

    async def ends(self) -> Ends:
        """The end offsets of both partitions, as of now."""
        return await self._shared.kafka.end_offsets(list(self.positions))

    def has_reached(self, ends: Ends) -> bool:
        """Whether everything before `ends` has been taken."""
        return not self._waiting and all(self._position(partition) >= end for partition, end in ends.items())

    def offer(self, partition: TopicPartition, message: ConsumerRecord[bytes, bytes]) -> bool:
        """Keep a record for the follower; False where it has too many untaken and must come back for this one."""
        if message.offset < self.positions[partition]:
            return True
        size = len(message.value or b"")
        if self._waiting and (
            len(self._waiting) >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES
        ):
            self.positions[partition] = message.offset
            return False
        self._waiting.append((partition, message))
        self._waiting_bytes += size
        self._awake.set()
        return True

    def wake(self) -> None:
        """Look again: a position has changed."""
        self._awake.set()

    def fail(self, failure: Exception) -> None:
        """Nothing more will come."""
        self._failure = failure
        self._awake.set()

    def _position(self, partition: TopicPartition) -> int:
        lane = self.lanes.get(partition)
        position: int = self.positions[partition]
        return position if lane is None else max(position, lane.at[partition])


def same_as(failure: Exception) -> Exception:
    """`failure` for one more follower: each raises its own, with its own traceback."""
    again = type(failure)(str(failure))
    again.__cause__ = failure
    return again
