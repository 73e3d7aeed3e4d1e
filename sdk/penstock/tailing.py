"""Reading one execution's two partitions live from Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import UndecodableRecord
from penstock.models import Cursor
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_EVENTS, EXECUTIONS_PROGRESS

log = logging.getLogger("penstock.follow")

BATCH_RECORDS = 2_000
"""Of other executions too: a partition carries many."""
SILENCE_S = 15.0
"""After this long without a record the cluster is asked for its end offsets: a dead one is then noticed."""


class Tail:
    """The records of one execution, as they become visible; see `tail`."""

    def __init__(
        self,
        execution_id: str,
        consumer: AIOKafkaConsumer,
        kafka: KafkaConnection,
        encoding: Encoding,
        partitions: list[TopicPartition],
    ) -> None:
        self._needle = execution_id.encode()
        self._execution_id = execution_id
        self._consumer = consumer
        self._kafka = kafka
        self._encoding = encoding
        self._partitions = partitions
        self._last_record_at_s = time.monotonic()

    async def next(self, wait_s: float) -> list[r.Record]:
        """What has arrived, after at most `wait_s`; empty where nothing has.

        Poison is skipped: whoever owns the topic dead-letters it.

        Raises:
            KafkaUnreachable: silent for long, and no answer when asked.
        """
        batches = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=BATCH_RECORDS)
        if batches:
            self._last_record_at_s = time.monotonic()
        elif time.monotonic() - self._last_record_at_s > SILENCE_S:
            await self.ends()
            self._last_record_at_s = time.monotonic()
        found: list[r.Record] = []
        for partition, messages in batches.items():
            for message in messages:
                # Avro keeps text as it is, so a record about the execution has its id among the bytes; the
                # many of other executions need no decoding.
                if message.value is None or self._needle not in message.value:
                    continue
                try:
                    record = await self._encoding.decode(partition.topic, message.value)
                except UndecodableRecord as exc:
                    log.warning("%s offset %d skipped: %s", partition, message.offset, exc)
                    continue
                found.append(record)
        return found

    async def ends(self) -> dict[TopicPartition, int]:
        """The end offsets of both partitions, as of now."""
        return await self._kafka.end_offsets(self._partitions)

    async def has_reached(self, ends: dict[TopicPartition, int]) -> bool:
        """Whether everything before `ends` has been read. Positions move over transaction markers too."""
        return all([await self._consumer.position(tp) >= offset for tp, offset in ends.items()])


@asynccontextmanager
async def tail(
    execution_id: str, cursor: Cursor, kafka: KafkaConnection, encoding: Encoding
) -> AsyncIterator[Tail]:
    """Follow `execution_id` on Kafka from `cursor` on."""
    events = await kafka.partition_of(EXECUTIONS_EVENTS, execution_id)
    progress = await kafka.partition_of(EXECUTIONS_PROGRESS, execution_id)
    positions = {events: cursor.events_offset, progress: cursor.progress_offset}
    async with kafka.consumer_at(positions) as consumer:
        yield Tail(execution_id, consumer, kafka, encoding, list(positions))
