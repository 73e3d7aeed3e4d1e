"""From Kafka's records to one batch: how long to gather, how much, and what is poison already."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock_consumers.loader.columns import Message, Rows, read_rows
from penstock_consumers.loader.settings import LoaderSettings
from penstock_consumers.loader.tables import TABLE_OF
from penstock_schemas.codec import BODY_START, Codec, SchemaNotLoaded, Writer
from penstock_schemas.dead_letters import dead_letter_of
from penstock_schemas.errors import UndecodableRecord
from penstock_schemas.records import DeadLetter
from penstock_schemas.traces import trace_of
from penstock_services.tracing import TraceLinks

POLL_MS = 200
"""How long one look for records takes when there are none; bounds how late a stop is seen."""
LINGER_PER_LOAD = 5
"""A batch is gathered for this many times as long as the last one took to load."""
SLICE_RECORDS = 10_000
"""Records taken between two turns of the event loop, so that heartbeats go out."""


@dataclass(slots=True)
class Group:
    """Records of one topic that were written with one schema."""

    writer: Writer
    messages: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What one round loads and then commits."""

    groups: dict[tuple[str, bytes], Group] = field(default_factory=dict)
    """By topic and framing."""
    letters: list[DeadLetter] = field(default_factory=list)
    first_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    records: int = 0
    value_bytes: int = 0
    traces: TraceLinks = field(default_factory=TraceLinks)

    def rows(self, codec: Codec) -> dict[str, Rows]:
        """The batch as rows by table; adds the letters of what cannot be read, and forgets the records. Blocks."""
        parts: defaultdict[str, list[Rows]] = defaultdict(list)
        for group in self.groups.values():
            rows, letters = read_rows(codec, group.writer, group.messages)
            parts[TABLE_OF[group.writer.record_type]] += rows
            self.letters += letters
        self.groups.clear()
        return {table: Rows.joined(of_table) for table, of_table in parts.items() if of_table}


class Intake:
    """Reads batches from a consumer that has begun."""

    def __init__(self, consumer: AIOKafkaConsumer[bytes, bytes], codec: Codec, settings: LoaderSettings) -> None:
        self._consumer = consumer
        self._codec = codec
        self._settings = settings
        self._linger_s = settings.idle_linger_s
        self.gathering = Batch()
        """The batch that `next_batch` has not returned yet."""

    async def next_batch(self) -> Batch:
        """What there is, gathered for the linger time after its first record; empty after `POLL_MS` without any.

        Raises:
            KafkaError: the consumer cannot go on.
        """
        batch = self.gathering = Batch()
        await self._take(batch, POLL_MS)
        deadline = asyncio.get_running_loop().time() + self._linger_s
        while batch.records and not self._is_full(batch):
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await self._take(batch, max(1, int(left_s * 1000)))
        return batch

    def loading_took(self, seconds: float) -> None:
        """Gather for longer where loading is slow, so that it takes the same share of the time at any load."""
        settings = self._settings
        self._linger_s = min(max(settings.idle_linger_s, LINGER_PER_LOAD * seconds), settings.busy_linger_s)

    def _is_full(self, batch: Batch) -> bool:
        return batch.records >= self._settings.max_rows or batch.value_bytes >= self._settings.max_batch_bytes

    async def _take(self, batch: Batch, wait_ms: int) -> None:
        room = min(SLICE_RECORDS, self._settings.max_rows - batch.records)
        fetched = await self._consumer.getmany(timeout_ms=wait_ms, max_records=room)
        for partition, messages in fetched.items():
            batch.first_offsets.setdefault(partition, messages[0].offset)
            await self._add(batch, messages)
            batch.next_offsets[partition] = messages[-1].offset + 1

    async def _add(self, batch: Batch, messages: Sequence[Message]) -> None:
        topic, groups, value_bytes = messages[0].topic, batch.groups, 0
        for message in messages:  # local names only: what one turn costs, each record on Kafka costs
            if message.headers and (trace := trace_of(message.headers)):
                batch.traces.add(trace)
            value = message.value
            if value is not None:
                value_bytes += len(value)
                if group := groups.get((topic, value[:BODY_START])):
                    group.messages.append(message)
                    continue
            try:
                writer = await self._writer_of(message)
            except UndecodableRecord as exc:
                batch.letters.append(dead_letter_of(message, exc, "loader"))
            else:
                groups[topic, value[:BODY_START]] = Group(writer, [message])
        batch.records += len(messages)
        batch.value_bytes += value_bytes

    async def _writer_of(self, message: Message) -> Writer:
        try:
            return self._codec.writer_of(message.topic, message.value)
        except SchemaNotLoaded as exc:
            await self._codec.load_schema(exc.schema_id)  # waits for a registry that is away
            return await self._writer_of(message)
