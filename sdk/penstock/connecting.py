"""One client's connections to Kafka: made on first use, kept, bounded in time, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, ProducerFenced, UnknownTopicOrPartitionError

from penstock.errors import KafkaUnreachable, UnknownTopic
from penstock.permissions import MISSING_RIGHTS, not_permitted
from penstock.settings import KafkaSettings
from penstock_schemas import records as r
from penstock_schemas.routing import partition_for
from penstock_schemas.topics import Topic

GRACE_S = 2.0
"""The outer deadline is this much later than aiokafka's own, whose error says more."""
FETCH_WAIT_MS = 100
"""How long a broker holds a fetch that finds nothing; also bounds how late a new position takes effect."""


class KafkaConnection:
    """A producer and an offset reader, shared by everything one client does.

    Args:
        settings: addresses and credentials.
        answer_within_s: how long the cluster may keep a call waiting before it counts as unreachable.
    """

    def __init__(self, settings: KafkaSettings, answer_within_s: float) -> None:
        self._settings = settings
        self._answer_within_s = answer_within_s
        self._open = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._offset_reader: AIOKafkaConsumer | None = None

    async def close(self) -> None:
        await self._open.aclose()

    @asynccontextmanager
    async def reaching(self, doing: str) -> AsyncIterator[None]:
        """Turns whatever aiokafka raises, and a missing answer, into `KafkaUnreachable`.

        Raises:
            UnknownTopic: the cluster has no such topic.
            ProducerFenced: as it is; only a transactional producer meets it.
            NotPermitted: this user lacks a right.
            KafkaUnreachable: anything else that went wrong.
        """
        where = f"Kafka at {self._settings.bootstrap_servers} (PENSTOCK_KAFKA_BOOTSTRAP_SERVERS)"
        try:
            async with asyncio.timeout(self._answer_within_s + GRACE_S):
                yield
        except UnknownTopicOrPartitionError as exc:
            raise UnknownTopic(
                f"{where} lacks a topic, found while {doing}; `penstock topics` creates all"
            ) from exc
        except (TimeoutError, KafkaConnectionError, OSError) as exc:
            raise KafkaUnreachable(
                f"{where} does not answer while {doing}; `penstock up` starts one here"
            ) from exc
        except ProducerFenced:
            raise
        except MISSING_RIGHTS as exc:
            raise not_permitted(self._settings, doing, exc) from exc
        except KafkaError as exc:
            raise KafkaUnreachable(f"{where} failed while {doing}: {exc!r}") from exc

    async def partition_of(self, topic: Topic, routing_key: str) -> TopicPartition:
        """Where `routing_key` lives in `topic`, in this cluster."""
        return TopicPartition(topic.name, partition_for(routing_key, await self._partition_count(topic)))

    async def partition_for_record(self, topic: Topic, record: r.Record) -> TopicPartition:
        """Where `record` belongs in `topic`, by its value."""
        return TopicPartition(topic.name, topic.partition_of(record, await self._partition_count(topic)))

    async def partitions_of(self, topic: Topic) -> list[TopicPartition]:
        """Every partition of `topic`, in this cluster."""
        return [TopicPartition(topic.name, number) for number in range(await self._partition_count(topic))]

    async def send_at_once(
        self, transactional_id: str, messages: Sequence[tuple[TopicPartition, bytes | None, bytes]]
    ) -> None:
        """Write (partition, key, value) in one transaction, by a producer of its own.

        Raises:
            ProducerFenced: another producer took `transactional_id` over; nothing was written.
            KafkaUnreachable: as `reaching`. After the commit was asked for, the message says that it may have
                been done.
        """
        producer = AIOKafkaProducer(
            **self._settings.client_options(),
            acks="all",
            transactional_id=transactional_id,
            transaction_timeout_ms=self._answer_within_ms,
            request_timeout_ms=self._answer_within_ms,
        )
        await self._start(producer)
        try:
            async with self.reaching("writing a transaction"):
                await producer.begin_transaction()
                sent = [
                    await producer.send(to.topic, value, key=key, partition=to.partition)
                    for to, key, value in messages
                ]
                # aiokafka commits a transaction one of whose records was refused: each future is looked at.
                for future in sent:
                    await future
            async with self.reaching("committing a transaction, which may have been done"):
                await producer.commit_transaction()
        finally:
            await producer.stop()

    async def send(
        self, to: TopicPartition, value: bytes, *, key: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> int:
        """Send one record, wait until all in-sync replicas have it, and return its offset."""
        producer = await self._connected_producer()
        async with self.reaching(f"writing to {to.topic}"):
            sent = await producer.send_and_wait(
                to.topic, value, key=key, partition=to.partition, headers=list((headers or {}).items())
            )
        return int(sent.offset)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last visible record of each partition."""
        reader = await self._connected_offset_reader()
        async with self.reaching("reading end offsets"):
            ends: dict[TopicPartition, int] = await reader.end_offsets(list(partitions))
            return ends

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first record that retention has left in each partition."""
        reader = await self._connected_offset_reader()
        async with self.reaching("reading begin offsets"):
            begins: dict[TopicPartition, int] = await reader.beginning_offsets(list(partitions))
            return begins

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """The first offset appended at `timestamp_ms` or later; the end where there is none yet."""
        reader = await self._connected_offset_reader()
        end = (await self.end_offsets([partition]))[partition]  # first: what is appended meanwhile lies after it
        async with self.reaching("looking up offsets by time"):
            found = (await reader.offsets_for_times({partition: timestamp_ms}))[partition]
        return end if found is None else int(found.offset)

    @asynccontextmanager
    async def consumer_at(self, positions: Mapping[TopicPartition, int]) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer of its own, in no group, reading on from `positions`, committed records only."""
        consumer = await self._connected_consumer()
        try:
            consumer.assign(list(positions))
            for partition, offset in positions.items():
                consumer.seek(partition, offset)
            yield consumer
        finally:
            await _stop(consumer)

    async def _partition_count(self, topic: Topic) -> int:
        # Not by the producer: an idempotent one does not start for a user who may write nothing. aiokafka keeps
        # what answers its producers' `partitions_for` to itself in consumers; the version is pinned.
        reader = await self._connected_offset_reader()
        async with self.reaching(f"asking for {topic.name}"):
            return len(await reader._client._wait_on_metadata(topic.name))

    async def _connected_producer(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._settings.client_options(),
                    acks="all",
                    enable_idempotence=True,
                    request_timeout_ms=self._answer_within_ms,
                )
                await self._start(producer)
                self._open.push_async_callback(producer.stop)
                self._producer = producer
            return self._producer

    async def _connected_offset_reader(self) -> AIOKafkaConsumer:
        async with self._opening:
            if self._offset_reader is None:
                self._offset_reader = await self._connected_consumer()
                self._open.push_async_callback(_stop, self._offset_reader)
            return self._offset_reader

    async def _connected_consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._settings.client_options(),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # past what retention removed, never past what is still there
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=self._answer_within_ms,
        )
        await self._start(consumer)
        await asyncio.sleep(0)  # aiokafka's stop fails where its background task has not had a turn yet
        return consumer

    async def _start(self, client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
        try:
            async with self.reaching("connecting"):
                await client.start()
        except BaseException:
            await client.stop()  # a client that failed to start still holds sockets and tasks
            raise

    @property
    def _answer_within_ms(self) -> int:
        return int(self._answer_within_s * 1000)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop `consumer`, also while its broker is away.

    aiokafka 0.14 then cancels a fetch that pauses before its next try, raises that fetch's CancelledError as if
    we were cancelled, and leaves its connections open.
    """
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait([stopping])
    if stopping.cancelled():
        await consumer._client.close()
    else:
        stopping.result()
