"""What Kafka and ClickHouse hold, as anyone who reads committed records sees it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from penstock.settings import ClickHouseSettings, KafkaSettings
from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.records import Record
from penstock_schemas.records.executions import TerminalEvent
from penstock_services.clickhouse import connect
from penstock_services.topic_reader import Read
from tests.faults.verdict import LOADED_TOPICS, WRITTEN_ONCE

READ_TOPICS = sorted({*WRITTEN_ONCE, *LOADED_TOPICS, topics.ACCOUNTS_COMMANDS.name})
ID_COLUMNS = {
    "executions_events": "event_id",
    "executions_progress": "event_id",
    "accounts_events": "event_id",
    "ledger": "line_id",
    "conversations_events": "event_id",
    "pipelines_events": "event_id",
}
"""What in each of the loader's tables is the event_id of the record a row came from."""
ANSWER_WITHIN_S = 60.0


class Evidence:
    """Everything on the topics that prove something, read on from where it was read last.

    Args:
        kafka: the broker; it may restart between two readings.
        codec: decodes.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec) -> None:
        self._kafka = kafka
        self._codec = codec
        self._next: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self.reads: list[Read] = []
        """In order within a partition."""

    def forget(self) -> None:
        """Drop what was read; the next reading goes on behind it."""
        self.reads.clear()

    def steps_to_go_on(self, pid: int) -> bool:
        """Whether, as far as was read, the worker with this pid runs an attempt of the stepping agent that has
        more than its current step to go."""
        granted: set[tuple[str, int]] = set()
        ended: set[str] = set()
        between: set[tuple[str, int]] = set()
        for read in self.reads:
            match read.record:
                case r.AttemptStarted() as started if int(started.worker_id.split(":")[1]) == pid:
                    granted.add((started.execution_id, started.epoch))
                case TerminalEvent() as ending:
                    ended.add(ending.execution_id)
                case r.StepStarted() as step if " of " in step.name:
                    number, steps = step.name.split(" of ")
                    attempt = (step.execution_id, step.epoch)
                    (between.discard if number == steps else between.add)(attempt)
        return any(attempt in between and attempt[0] not in ended for attempt in granted)

    async def read_on(self) -> None:
        """Read to where the topics end now, waiting for a broker that is away."""
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    return await self._read_on()
            except KafkaError:
                await self.close()
                if time.monotonic() > deadline:
                    raise

    async def close(self) -> None:
        """Let go of the broker; the next reading connects again."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def _read_on(self) -> None:
        consumer = await self._connected()
        remaining = set(consumer.assignment())
        ends = await consumer.end_offsets(remaining)
        while remaining := {tp for tp in remaining if await consumer.position(tp) < ends[tp]}:
            for partition, messages in (await consumer.getmany(*remaining, timeout_ms=100)).items():
                for message in messages:
                    record = await self._decode(partition.topic, message.value)
                    self.reads.append(Read(record, *partition, message.offset, message.timestamp * 1000))
                self._next[partition] = messages[-1].offset + 1

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = consumer = AIOKafkaConsumer(
                *READ_TOPICS,
                **self._kafka.client_options(),
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            await consumer.start()
            for partition in consumer.assignment():
                consumer.seek(partition, self._next.get(partition, 0))
        return self._consumer

    async def _decode(self, topic: str, value: bytes) -> Record:
        while True:
            try:
                return self._codec.decode(topic, value)
            except SchemaNotLoaded as exc:
                await self._codec.load_schema(exc.schema_id)


async def rows_of(clickhouse: ClickHouseSettings, tenants: Sequence[str]) -> Counter[str]:
    """How often each event of `tenants` is in ClickHouse, by event_id."""

    def query() -> Counter[str]:
        found: Counter[str] = Counter()
        with connect(clickhouse, deadline_s=ANSWER_WITHIN_S) as client:
            for table, column in ID_COLUMNS.items():
                where = "tenant_id IN {tenants:Array(String)}"
                sql = f"SELECT {column}, count() FROM {table} FINAL WHERE {where} GROUP BY 1"
                found.update(dict(client.query(sql, parameters={"tenants": list(tenants)}).result_rows))
        return found

    return await asyncio.to_thread(query)
