"""A broker, registry and ClickHouse with everything a loader needs, and records to load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from tests.fixtures.kafka import own_kafka

from penstock.settings import ClickHouseSettings, KafkaSettings
from penstock_consumers.loader import Loader, LoaderSettings
from penstock_consumers.loader.tables import LOADED_TOPICS
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import TOPICS
from penstock_services.clickhouse import connect, migrate
from penstock_services.topic_admin import apply_topics

PARTITIONS = 2


@dataclass
class Kafka:
    """The package's broker, with the loaded topics and every schema registered."""

    settings: KafkaSettings
    registry_url: str
    codec: Codec
    producer: AIOKafkaProducer

    async def produce(self, *records: r.Record, topic: str, **options: Any) -> list[Any]:
        """Produce records where they belong; their places on Kafka."""
        declared, sends = TOPICS[topic], []
        for record in records:
            value = self.codec.encode(topic, record, event_id=record.event_id or token_hex(8), occurred_at=now())
            partition = declared.partition_of(record, PARTITIONS)
            sends.append(await self.producer.send(topic, value, partition=partition, **options))
        return [await sent for sent in sends]

    async def produce_raw(self, value: bytes | None, *, topic: str, **options: Any) -> Any:
        """Produce bytes as they are."""
        return await self.producer.send_and_wait(topic, value, **options)


def now() -> int:
    """Microseconds."""
    return time.time_ns() // 1000


@pytest.fixture(scope="package")
async def kafka(tmp_path_factory: pytest.TempPathFactory, registry_url: str) -> AsyncIterator[Kafka]:
    """A broker of this package's own: a loader reads topics by their declared names."""
    async with own_kafka(tmp_path_factory.mktemp("loader")) as broker, SchemaRegistry(registry_url) as registry:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap)
        topics = LOADED_TOPICS
        await apply_topics(settings, topics, PARTITIONS)
        await registry.register_all(topics)
        codec = Codec(registry)
        await codec.prepare_writers(topics)
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        yield Kafka(settings, registry_url, codec, producer)
        await producer.stop()


@pytest.fixture
def database(clickhouse_database: ClickHouseSettings) -> ClickHouseSettings:
    """A database of the test's own, migrated."""
    migrate(clickhouse_database)
    return clickhouse_database


@pytest.fixture
def clickhouse_client(database: ClickHouseSettings) -> Iterator[Any]:
    with connect(database) as client:
        yield client


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test has."""
    return f"tenant-{token_hex(4)}"


RunLoader = Callable[..., Any]


@pytest.fixture
def run_loader(kafka: Kafka, database: ClickHouseSettings) -> RunLoader:
    """`async with run_loader() as loader:` runs one in a group of its own, or of `group_id`."""

    @asynccontextmanager
    async def run(
        *, clickhouse: ClickHouseSettings = database, group_id: str | None = None, **settings: Any
    ) -> AsyncIterator[Loader]:
        given = LoaderSettings(group_id=group_id or token_hex(8), **settings)
        loader = Loader(kafka.settings, clickhouse, kafka.codec, given)
        running = asyncio.create_task(loader.run())
        try:
            yield loader
        finally:
            loader.stop()
            await asyncio.wait_for(running, 30)

    return run


async def until(condition: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
    """Return once `condition` holds; it is asked in a thread."""
    deadline = time.monotonic() + deadline_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        await asyncio.sleep(0.02)
