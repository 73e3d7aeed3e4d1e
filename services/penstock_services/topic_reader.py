"""Read topics from their first record to where they end now, committed records only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from penstock.errors import KafkaUnreachable
from penstock.permissions import MISSING_RIGHTS, not_permitted
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


@asynccontextmanager
async def reading(
    kafka: KafkaSettings, topics: Iterable[str], *, isolation_level: str = "read_committed"
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of every partition of `topics`, from their first records, outside of any group.

    Raises:
        NotPermitted: this user may not read one of them.
        KafkaUnreachable: no broker answers.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        **kafka.client_options(),
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    try:
        await consumer.start()
        yield consumer
    except MISSING_RIGHTS as exc:
        raise not_permitted(kafka, "reading topics", exc) from exc
    except KafkaError as exc:
        raise KafkaUnreachable(
            f"Kafka at {kafka.bootstrap_servers} did not answer ({exc}); check PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"
        ) from exc
    finally:
        await consumer.stop()


async def messages_until(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Every message below `ends`, in order within a partition.

    Ends by position, so a log that ends in transaction markers ends too.
    """
    remaining = set(ends)
    while remaining := {tp for tp in remaining if await consumer.position(tp) < ends[tp]}:
        batches = await consumer.getmany(*remaining, timeout_ms=200, max_records=5_000)
        for tp, messages in batches.items():
            for message in messages:
                if message.offset < ends[tp]:
                    yield message


class TopicReader:
    """Reads whole topics once. Use as an async context manager.

    Raises:
        KafkaUnreachable: no broker answers.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec, topics: Iterable[str]) -> None:
        self._codec = codec
        self._connecting = reading(kafka, topics)

    async def __aenter__(self) -> TopicReader:
        self._consumer = await self._connecting.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._connecting.__aexit__(*error)

    async def starts(self) -> list[Start]:
        """The first offset still kept of every partition."""
        begins = await self._consumer.beginning_offsets(self._consumer.assignment())
        return [Start(tp.topic, tp.partition, offset) for tp, offset in begins.items()]

    async def read(self, ends: Mapping[TopicPartition, int] | None = None) -> AsyncIterator[Read]:
        """Every decodable record from the start to `ends`; poison is skipped. In order within a partition.

        Args:
            ends: by partition; None is the end seen on calling.
        """
        ends = ends or await self._consumer.end_offsets(self._consumer.assignment())
        async for message in messages_until(self._consumer, ends):
            if record := await self._decode(message.topic, message.value):
                yield Read(record, message.topic, message.partition, message.offset, message.timestamp * 1000)

    async def _decode(self, topic: str, value: bytes | None) -> Record | None:
        try:
            return self._codec.decode(topic, value)
        except SchemaNotLoaded as exc:
            await self._codec.load_schema(exc.schema_id)
            return await self._decode(topic, value)
        except UndecodableRecord:
            return None
