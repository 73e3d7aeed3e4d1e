"""From Kafka's records to one batch of rows: how long to gather, how much, and what is poison already."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from penstock_consumers.loader.rows import Row, check_row
from penstock_consumers.loader.settings import LoaderSettings
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.dead_letters import dead_letter_of
from penstock_schemas.errors import UndecodableRecord
from penstock_schemas.records import DeadLetter, Record
from penstock_schemas.traces import trace_of
from penstock_services.tracing import TraceLinks

POLL_MS = 200
"""How long one look for records takes when there are none; bounds how late a stop is seen."""
SLICE_RECORDS = 2_000
"""Records decoded between two turns of the event loop, so that heartbeats go out."""


@dataclass(slots=True)
class Batch:
    """What one round loads and then commits."""

    rows: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    """By table."""
    letters: list[DeadLetter] = field(default_factory=list)
    first_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    records: int = 0
    value_bytes: int = 0
    traces: TraceLinks = field(default_factory=TraceLinks)


class Intake:
    """Reads batches from a consumer that has begun."""

    def __init__(self, consumer: AIOKafkaConsumer[bytes, bytes], codec: Codec, settings: LoaderSettings) -> None:
        self._consumer = consumer
        self._codec = codec
        self._settings = settings
        self._linger_s = settings.idle_linger_s

    async def next_batch(self) -> Batch:
        """What there is, gathered for the linger time after its first record; empty after `POLL_MS` without any.

        Raises:
            KafkaError: the consumer cannot go on.
        """
        batch = Batch()
        await self._take(batch, POLL_MS)
        deadline = asyncio.get_running_loop().time() + self._linger_s
        while batch.records and not self._is_full(batch):
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await self._take(batch, max(1, int(left_s * 1000)))
        is_busy = batch.records * 10 > self._settings.max_rows
        self._linger_s = self._settings.busy_linger_s if is_busy else self._settings.idle_linger_s
        return batch

    def _is_full(self, batch: Batch) -> bool:
        return batch.records >= self._settings.max_rows or batch.value_bytes >= self._settings.max_batch_bytes

    async def _take(self, batch: Batch, wait_ms: int) -> None:
        room = min(SLICE_RECORDS, self._settings.max_rows - batch.records)
        fetched = await self._consumer.getmany(timeout_ms=wait_ms, max_records=room)
        for partition, messages in fetched.items():
            for message in messages:
                await self._add(batch, message)
            batch.first_offsets.setdefault(partition, messages[0].offset)
            batch.next_offsets[partition] = messages[-1].offset + 1

    async def _add(self, batch: Batch, message: ConsumerRecord[bytes, bytes]) -> None:
        batch.records += 1
        batch.value_bytes += len(message.value or b"")
        if message.headers and (trace := trace_of(message.headers)):
            batch.traces.add(trace)
        try:
            row = Row(await self._decode(message), message)
            check_row(row)
        except UndecodableRecord as exc:
            batch.letters.append(dead_letter_of(message, exc, "loader"))
        else:
            batch.rows[row.table].append(row)

    async def _decode(self, message: ConsumerRecord[bytes, bytes]) -> Record:
        try:
            return self._codec.decode(message.topic, message.value)
        except SchemaNotLoaded as exc:
            await self._codec.load_schema(exc.schema_id)  # waits for a registry that is away
            return await self._decode(message)
