"""One client's connections to Kafka and the registry: made on first use, kept, bounded in time, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from penstock.errors import KafkaUnreachable, RegistryUnreachable, UnknownTopic
from penstock.settings import KafkaSettings, RegistrySettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import Topic

GRACE_S = 2.0
"""The outer deadline is this much later than aiokafka's own, whose error says more."""
FETCH_WAIT_MS = 100
"""How long a broker holds a fetch that finds nothing; also bounds how late a new position takes effect."""


class Connections:
    """Kafka producer, an offset reader and the codec of one client.

    Args:
        kafka: addresses and credentials.
        registry: address.
        answer_within_s: how long any one server may keep a call waiting before it counts as unreachable.
    """

    def __init__(self, kafka: KafkaSettings, registry: RegistrySettings, answer_within_s: float) -> None:
        self._kafka = kafka
        self._registry_settings = registry
        self._answer_within_s = answer_within_s
        self._open = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._offsets: AIOKafkaConsumer | None = None
        self._registry_and_codec: tuple[SchemaRegistry, Codec] | None = None
        self._writable: set[tuple[str, type[r.Record]]] = set()

    async def close(self) -> None:
        await self._open.aclose()

    @asynccontextmanager
    async def reaching_kafka(self, doing: str) -> AsyncIterator[None]:
        """Turns whatever aiokafka raises, and a missing answer, into `KafkaUnreachable`.

        Raises:
            UnknownTopic: the cluster has no such topic.
        """
        where = f"Kafka at {self._kafka.bootstrap_servers} (PENSTOCK_KAFKA_BOOTSTRAP_SERVERS)"
        try:
            async with asyncio.timeout(self._answer_within_s + GRACE_S):
                yield
        except UnknownTopicOrPartitionError as exc:
            raise UnknownTopic(f"{where} lacks a topic needed for {doing}; `penstock up` creates them") from exc
        except TimeoutError as exc:
            raise KafkaUnreachable(f"{where} did not answer in time while {doing}; is it running?") from exc
        except (KafkaError, OSError) as exc:
            raise KafkaUnreachable(f"{where} could not be used for {doing}: {exc!r}; is it running?") from exc

    async def producer(self) -> AIOKafkaProducer:
        """The producer, connected: idempotent, acks=all."""
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._kafka.client_options(),
                    acks="all",
                    enable_idempotence=True,
                    request_timeout_ms=self._answer_within_ms,
                )
                async with self.reaching_kafka("connecting"):
                    await _started(producer)
                self._open.push_async_callback(producer.stop)
                self._producer = producer
            return self._producer

    async def partition_count(self, topic: Topic) -> int:
        """Partitions of `topic` in this cluster; never changes under data."""
        producer = await self.producer()
        async with self.reaching_kafka(f"topic {topic.name}"):
            return len(await producer.partitions_for(topic.name))

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last visible record of each partition."""
        async with self._opening:
            if self._offsets is None:
                self._offsets = await self._connected_consumer()
                self._open.push_async_callback(self._offsets.stop)
        async with self.reaching_kafka("reading end offsets"):
            ends: dict[TopicPartition, int] = await self._offsets.end_offsets(list(partitions))
            return ends

    @asynccontextmanager
    async def consumer_at(self, positions: dict[TopicPartition, int]) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer of its own, in no group, reading `positions` on, committed records only."""
        consumer = await self._connected_consumer()
        try:
            consumer.assign(list(positions))
            for partition, offset in positions.items():
                consumer.seek(partition, offset)
            yield consumer
        finally:
            await consumer.stop()

    async def encode(self, topic: Topic, record: r.Record) -> bytes:
        """`record` as bytes for `topic`.

        Raises:
            RegistryUnreachable: no answer in time.
            ContractError: not registered, or `record` does not fit.
        """
        registry, codec = self._contract()
        kind = (topic.name, type(record))
        if kind not in self._writable:
            async with self._reaching_registry():
                await registry.id_of(topic, type(record))  # fails at once, where the codec would wait
                await codec.prepare_writer(topic, type(record))
            self._writable.add(kind)
        return codec.encode(topic.name, record)

    async def decode(self, topic: Topic, value: bytes | None) -> r.Record:
        """The record in `value`, looking its schema up where it is new.

        Raises:
            UndecodableRecord: poison.
            RegistryUnreachable: no answer in time.
        """
        _, codec = self._contract()
        while True:
            try:
                return codec.decode(topic.name, value)
            except SchemaNotLoaded as exc:
                async with self._reaching_registry():
                    await codec.load_schema(exc.schema_id)

    def _contract(self) -> tuple[SchemaRegistry, Codec]:
        if self._registry_and_codec is None:
            registry = SchemaRegistry(self._registry_settings.url, timeout_s=self._answer_within_s)
            self._open.push_async_callback(registry.close)
            self._registry_and_codec = registry, Codec(registry)
        return self._registry_and_codec

    @asynccontextmanager
    async def _reaching_registry(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._answer_within_s):
                yield
        except TimeoutError as exc:
            raise RegistryUnreachable(
                f"schema registry at {self._registry_settings.url} (PENSTOCK_REGISTRY_URL) did not answer "
                f"within {self._answer_within_s:g} s; is it running?"
            ) from exc

    async def _connected_consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._kafka.client_options(),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # what retention removed is skipped, never what is still there
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=self._answer_within_ms,
        )
        async with self.reaching_kafka("connecting"):
            await _started(consumer)
        return consumer

    @property
    def _answer_within_ms(self) -> int:
        return int(self._answer_within_s * 1000)


async def _started(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    try:
        await client.start()
    except BaseException:
        await client.stop()  # a client that failed to start still holds sockets and tasks
        raise
