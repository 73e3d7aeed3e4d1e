"""Everything the worker writes to Kafka: encoded, routed by value, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from penstock.errors import KafkaUnreachable, UndecodableRecord
from penstock.settings import KafkaSettings
from penstock_consumers.worker.kafka import new_producer, reach
from penstock_schemas import records as r
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.dead_letters import dead_letter_of
from penstock_schemas.topics import (
    ACCOUNTS_COMMANDS,
    DEAD_LETTERS,
    EXECUTIONS_COMMANDS,
    EXECUTIONS_LEASES,
    EXECUTIONS_PROGRESS,
    Topic,
)
from penstock_schemas.traces import TraceContext, trace_of
from penstock_services.metrics import count_dead_letters

Acknowledged = asyncio.Future[Any]
"""Done once all in-sync replicas have the record."""

WRITTEN: Mapping[Topic, tuple[type[r.Record], ...]] = {
    EXECUTIONS_COMMANDS: (r.ClaimLease, r.Heartbeat, r.FinishAttempt),
    EXECUTIONS_PROGRESS: EXECUTIONS_PROGRESS.records,
    ACCOUNTS_COMMANDS: (r.StartCall, r.RecordUsage),
    DEAD_LETTERS: (r.DeadLetter,),
}


class Outbox:
    """Use as an async context manager; leaving it flushes.

    What Kafka has not acknowledged is sent again by the idempotent producer, in order and without repeats, while
    this process lives; followers see neither. Where it gives up the process stops (`until_lost`): the attempt's
    lease runs out, the next attempt counts its progress from 1, and no record of this one can come any more. So no
    result is ever ahead of its progress, and nothing needs to be kept across a restart.

    Args:
        settings: where Kafka is.
        codec: encodes and decodes.
        start_wait_s: how long Kafka may be away at start.
    """

    def __init__(self, settings: KafkaSettings, codec: Codec, start_wait_s: float) -> None:
        self._settings = settings
        self._codec = codec
        self._start_wait_s = start_wait_s
        self._partitions: dict[Topic, int] = {}
        self._lost: Acknowledged = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Outbox:
        """Connect.

        Raises:
            KafkaUnreachable: it stayed away, or a topic is missing.
        """
        self._producer = await reach("connecting", self._settings, self._start_wait_s, self._connected)
        try:
            for topic in (*WRITTEN, EXECUTIONS_LEASES):
                self._partitions[topic] = await self.find(topic)
            for topic, record_types in WRITTEN.items():
                for record_type in record_types:
                    await self._codec.prepare_writer(topic, record_type)
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def find(self, topic: Topic) -> int:
        """How many partitions the cluster has of `topic`, once it exists.

        Raises:
            KafkaUnreachable: it does not, for as long as a start may take.
        """

        async def count() -> int:
            return len(await self._producer.partitions_for(topic.name))

        return await reach(f"finding topic {topic.name}", self._settings, self._start_wait_s, count)

    def partition_of(self, topic: Topic, record: r.Record) -> int:
        """Where `record` belongs, in this cluster."""
        return topic.partition_of(record, self._partitions[topic])

    def partitions(self, topic: Topic) -> int:
        """How many partitions the topic has in this cluster."""
        return self._partitions[topic]

    async def send(
        self, topic: Topic, record: r.Record, *, event_id: str | None = None, trace: TraceContext | None = None
    ) -> Acknowledged:
        """Hand `record` to the producer, in order per partition; the future tells when it is safe.

        Args:
            topic: a declared one this process writes.
            record: stamped with the time where it has none.
            event_id: None for the record's own, or a random one where it has none.
            trace: the one it belongs to.
        """
        value = self._codec.encode(
            topic.name,
            record,
            event_id=event_id or record.event_id or str(uuid4()),
            occurred_at=time.time_ns() // 1000,
        )
        acknowledged: Acknowledged = await self._producer.send(
            topic.name,
            value,
            key=topic.routing_key(record).encode(),
            partition=self.partition_of(topic, record),
            headers=list(trace.headers()) if trace else None,
        )
        acknowledged.add_done_callback(self._note_loss)
        return acknowledged

    async def decode(self, record: ConsumerRecord[bytes, bytes]) -> r.Record | None:
        """The record, or None for poison, which is a dead letter by the time this returns.

        A crash before the dead letter is acknowledged leaves the source's offset uncommitted: it is read again
        and becomes the same dead letter (same `event_id`).
        """
        while True:
            try:
                return self._codec.decode(record.topic, record.value)
            except SchemaNotLoaded as exc:
                await self._codec.load_schema(exc.schema_id)
            except UndecodableRecord as exc:
                letter = dead_letter_of(record, exc, "worker")
                await (await self.send(DEAD_LETTERS, letter, trace=trace_of(record.headers)))
                count_dead_letters("worker", letter.error_code)
                return None

    async def until_lost(self) -> None:
        """Never returns.

        Raises:
            KafkaUnreachable: a record was not acknowledged in time, so a promise of this process is broken.
        """
        try:
            await asyncio.shield(self._lost)
        except Exception as exc:
            where = f"Kafka at {self._settings.bootstrap_servers} (PENSTOCK_KAFKA_BOOTSTRAP_SERVERS)"
            raise KafkaUnreachable(f"{where} did not take a record: {exc!r}; the worker stops") from exc

    def _note_loss(self, acknowledged: Acknowledged) -> None:
        if not acknowledged.cancelled() and (exc := acknowledged.exception()) and not self._lost.done():
            self._lost.set_exception(exc)

    async def _connected(self) -> AIOKafkaProducer:
        producer = new_producer(self._settings)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer
