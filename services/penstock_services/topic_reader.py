"""Read topics from their first record to where they end now, committed records only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from penstock.errors import KafkaUnreachable
from penstock.settings import KafkaSettings
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.errors import UndecodableRecord
from penstock_schemas.records import Record


@dataclass(frozen=True, slots=True)
class Read:
    """One record and where it lies."""

    record: Record
    topic: str
    partition: int
    offset: int
    timestamp: int
    """Kafka's, microseconds."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition begins; `offset` above 0 means that retention has removed what was before."""

    topic: str
    partition: int
    offset: int


class TopicReader:
    """Reads whole topics once. Use as an async context manager.

    Raises:
        KafkaUnreachable: on entering, where no broker answers.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec, topics: Iterable[str]) -> None:
        self._codec = codec
        self._servers = kafka.bootstrap_servers
        self._consumer = AIOKafkaConsumer(
            *topics,
            **kafka.client_options(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )

    async def __aenter__(self) -> TopicReader:
        try:
            await self._consumer.start()
        except KafkaError as exc:
            await self._consumer.stop()
            raise KafkaUnreachable(
                f"Kafka at {self._servers} did not answer ({exc}); check PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"
            ) from exc
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def starts(self) -> list[Start]:
        """The first offset still kept of every partition."""
        begins = await self._consumer.beginning_offsets(self._consumer.assignment())
        return [Start(tp.topic, tp.partition, offset) for tp, offset in begins.items()]

    async def read(self) -> AsyncIterator[Read]:
        """Every decodable record from the start to the end seen on calling; poison is skipped.

        In order within a partition. Ends by position, so a log that ends in transaction markers ends too.
        """
        remaining = set(self._consumer.assignment())
        ends = await self._consumer.end_offsets(remaining)
        while remaining := {tp for tp in remaining if await self._consumer.position(tp) < ends[tp]}:
            batches = await self._consumer.getmany(*remaining, timeout_ms=200, max_records=5_000)
            for tp, messages in batches.items():
                for message in messages:
                    if message.offset < ends[tp] and (record := await self._decode(tp.topic, message.value)):
                        yield Read(record, tp.topic, tp.partition, message.offset, message.timestamp * 1000)

    async def _decode(self, topic: str, value: bytes | None) -> Record | None:
        try:
            return self._codec.decode(topic, value)
        except SchemaNotLoaded as exc:
            await self._codec.load_schema(exc.schema_id)
            return await self._decode(topic, value)
        except UndecodableRecord:
            return None
