"""Real servers and the real loader, and a script in place of the stages and the worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from penstock.client import Client
from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import UndecodableRecord
from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock.submitting import Submitting
from penstock_schemas import records as r
from penstock_schemas import topics as t
from tests.sdk import script
from tests.sdk.pipeline_script import Pipelines

PARTITIONS = 3
SCRIPTED_ONLY = "by-hand"
"""Requests of this tenant are left to the test."""
NOWHERE = "127.0.0.1:1"
"""Nothing listens here."""


@dataclass
class Platform:
    """The servers, and a producer that plays whatever writes to them."""

    kafka: KafkaSettings
    registry: RegistrySettings
    clickhouse: ClickHouseSettings
    connection: KafkaConnection
    encoding: Encoding

    def client(self, **other: Any) -> Client:
        settings = {
            "kafka": self.kafka,
            "registry": self.registry,
            "clickhouse": self.clickhouse,
            "artifacts": ArtifactSettings(url=None),
        }
        return Client(**(settings | other))

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command line that uses these servers."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PENSTOCK_HOME": os.devnull,
            "PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "PENSTOCK_REGISTRY_URL": self.registry.url,
            "PENSTOCK_CLICKHOUSE_HOST": self.clickhouse.host,
            "PENSTOCK_CLICKHOUSE_PORT": str(self.clickhouse.port),
            "PENSTOCK_CLICKHOUSE_USER": self.clickhouse.user,
            "PENSTOCK_CLICKHOUSE_PASSWORD": self.clickhouse.password.get_secret_value(),
            "PENSTOCK_CLICKHOUSE_DATABASE": self.clickhouse.database,
            "COLUMNS": "160",
        }

    async def emit(self, *records: r.Record) -> None:
        """Write records to the topics that carry them, in order."""
        writing = Submitting(self.connection, self.encoding, None)
        for record in records:
            await writing.produce(topic_of(record), script.stamped(record))

    async def emit_raw(self, topic: t.Topic, routing_key: str, value: bytes) -> int:
        """Write bytes where the records of `routing_key` are; returns the offset."""
        return await self.connection.send(await self.connection.partition_of(topic, routing_key), value, key=None)


def topic_of(record: r.Record) -> t.Topic:
    """The events or progress topic that carries a record."""
    carrying = (topic for topic in t.TOPICS.values() if topic.kind in ("events", "progress", "dead-letters"))
    return next(topic for topic in carrying if topic.carries(type(record)))


@asynccontextmanager
async def answering(platform: Platform) -> AsyncIterator[None]:
    """Answers every request as the platform would: `echo` completes, `broken` fails, `suspended` is rejected."""
    requests = [await platform.connection.partition_of(t.ACCOUNTS_REQUESTS, str(n)) for n in range(50)]
    commands = [await platform.connection.partition_of(t.ACCOUNTS_COMMANDS, str(n)) for n in range(50)]
    pipelines = await platform.connection.partitions_of(t.PIPELINES_REQUESTS)
    stage = Pipelines()
    everything = dict.fromkeys([*requests, *commands, *pipelines], 0)
    async with platform.connection.consumer_at(everything) as consumer:

        async def answer() -> None:
            answered = set()
            async for message in consumer:
                try:
                    request = await platform.encoding.decode(message.topic, message.value)
                except UndecodableRecord:
                    continue
                if message.topic == t.PIPELINES_REQUESTS.name:
                    await platform.emit(*stage.answers(request))
                    continue
                identity = getattr(request, "request_id", request.event_id)
                if request.tenant_id == SCRIPTED_ONLY or identity in answered:
                    continue
                answered.add(identity)
                await platform.emit(*script.answers(request))

        task = asyncio.create_task(answer())
        yield
        task.cancel()


async def until(condition: Callable[[], Awaitable[Any]], within_s: float = 20.0) -> Any:
    """The first true value of `condition`, asked again and again."""
    async with asyncio.timeout(within_s):
        while not (value := await condition()):
            await asyncio.sleep(0.05)  # between two looks at a condition, not instead of one
        return value
