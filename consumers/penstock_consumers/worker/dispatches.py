"""Reading a queue's dispatches, never more than there are free slots for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from penstock.settings import KafkaSettings
from penstock_consumers.worker.kafka import FETCH_WAIT_MS, reach
from penstock_consumers.worker.offsets import OffsetTracker
from penstock_consumers.worker.outbox import Outbox
from penstock_consumers.worker.pool import Reservation, SlotPool
from penstock_consumers.worker.room import Room
from penstock_schemas import records as r
from penstock_schemas.topics import dispatch_topic
from penstock_schemas.traces import TraceContext, trace_of
from penstock_services.consuming import Standing, read_up_to

log = logging.getLogger("penstock.worker")

Answered = Callable[[], None]
Take = Callable[[r.ExecutionDispatched, TraceContext | None, Reservation, Answered], None]
"""Takes a dispatch, the trace it came with, and a reserved slot, and calls back once its claim is answered."""

IDLE_WAIT_MS = 10_000
"""How long one wait for a dispatch lasts; it ends at once when there is one."""

GROUP_HEARTBEAT_S = 0.5
"""A member learns by its next heartbeat that another one left or joined, and until all have, nobody reads. What a
draining worker hands back must start elsewhere within a second."""

FULL_FOR_MS = 24 * 3_600_000
"""A worker whose slots are full reads nothing and stays a member; what it does not claim is repeated elsewhere."""


class DispatchReader:
    """One queue's reader in the group `penstock-workers-<queue>`.

    1. A dispatch is read where a slot is free. A crash after this costs nothing: it is read again.
    2. Its claim is answered. A crash after this repeats the claim by another worker, which is denied, or is
       granted the next epoch once the lease ran out.
    3. Its offset is committed, never past one whose claim is still open.
    """

    def __init__(
        self,
        queue: str,
        settings: KafkaSettings,
        outbox: Outbox,
        pool: SlotPool,
        room: Room,
        session_timeout_s: float,
    ) -> None:
        self._topic = dispatch_topic(queue)
        self._settings = settings
        self._outbox = outbox
        self._pool = pool
        self._room = room
        self._offsets = OffsetTracker()
        self._uncommitted = asyncio.Event()
        self._consumer = AIOKafkaConsumer(
            **settings.client_options(),
            group_id=f"penstock-workers-{queue}",
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            session_timeout_ms=int(session_timeout_s * 1000),
            max_poll_interval_ms=FULL_FOR_MS,
            heartbeat_interval_ms=int(min(session_timeout_s / 3, GROUP_HEARTBEAT_S) * 1000),
        )

    async def start(self, wait_s: float) -> None:
        """Join the group.

        Raises:
            KafkaUnreachable: not within `wait_s`, or the queue has no topic.
        """
        await self._outbox.find(self._topic)
        await reach("joining the workers' group", self._settings, wait_s, self._consumer.start)
        self._consumer.subscribe([self._topic.name], listener=_Leaving(self))

    async def read(self, take: Take) -> None:
        """Hand dispatches to `take` until cancelled."""
        while True:
            await self._pool.until_free()
            found = await self._next()
            if found is None:
                continue
            self._offsets.read(TopicPartition(found.topic, found.partition), found.offset)
            await self._room.until_enough()
            dispatch = await self._outbox.decode(found)
            answered = partial(self._answered, TopicPartition(found.topic, found.partition), found.offset)
            if isinstance(dispatch, r.ExecutionDispatched):
                take(dispatch, trace_of(found.headers), await self._pool.reserve(), answered)
            else:
                answered()

    async def commit(self) -> None:
        """Commit answered offsets whenever there are new ones, until cancelled."""
        while True:
            await self._uncommitted.wait()
            self._uncommitted.clear()
            await self._commit_now()

    def standings(self) -> Iterator[Standing]:
        """How far its partitions are read; while all slots are taken or the disk is full, it stops on purpose."""
        paused = not self._pool.has_free or self._room.lacking() is not None
        for (topic, partition), read_to, end in read_up_to(self._consumer):
            yield Standing("worker", topic, partition, read_to, end - read_to, paused=paused)

    async def stop(self) -> None:
        """Commit what is answered and leave the group; what is answered later is read again by whoever has its
        partition then, and its claim denied."""
        await self.leave(self._consumer.assignment())
        await self._consumer.stop()

    async def leave(self, partitions: set[TopicPartition]) -> None:
        """These partitions go to another worker."""
        await self._commit_now()
        self._offsets.forget(partitions)

    async def _next(self) -> ConsumerRecord[bytes, bytes] | None:
        batch = await self._consumer.getmany(timeout_ms=IDLE_WAIT_MS, max_records=1)
        return next((record for records in batch.values() for record in records), None)

    def _answered(self, partition: TopicPartition, offset: int) -> None:
        self._offsets.answered(partition, offset)
        self._uncommitted.set()

    async def _commit_now(self) -> None:
        offsets = self._offsets.committable()
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except KafkaError as exc:  # a rebalance or a broker that is away: a dispatch read again is only a hint
            log.info("offsets of %s not committed: %r", self._topic.name, exc)
        else:
            self._offsets.committed(offsets)


class _Leaving(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, reader: DispatchReader) -> None:
        self._reader = reader

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._reader.leave(revoked)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Nothing to do: the consumer starts at the committed offsets."""
