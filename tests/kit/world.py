"""What a test of the kit works with: its own topics on the shared broker, a codec, a producer and a reader."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock.settings import KafkaSettings
from penstock_schemas.codec import Codec
from penstock_schemas.records import ConfigureTenant, DeadLetter, Record, TenantConfigured
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import DEAD_LETTERS, Topic
from penstock_services.topic_admin import apply_topics, kafka_admin
from penstock_streams.kit import Stage, StageRunner, StreamsSettings
from tests.kit.counting import counting_stage

DEADLINE_S = 30.0
DEAD_LETTER_PARTITIONS = 2
T = TypeVar("T")


def topic(name: str, record: type[Record]) -> Topic:
    return Topic(name, "kit", "commands", "tenant_id", (record,), ("upstream",), 3600)


class World:
    """One test's corner of the broker."""

    def __init__(
        self, bootstrap: str, registry_url: str, folder: Path, partitions: int, world_id: str | None = None
    ) -> None:
        self.id = world_id or f"kit-{uuid4().hex[:8]}"
        self.bootstrap, self.registry_url, self.folder, self.partitions = (
            bootstrap,
            registry_url,
            folder,
            partitions,
        )
        self.requests = topic(f"{self.id}-requests", ConfigureTenant)
        self.commands = topic(f"{self.id}-commands", ConfigureTenant)
        self.out = topic(f"{self.id}-out", TenantConfigured)
        self.topics = (self.requests, self.commands, self.out)
        self.failures: list[asyncio.Task[BaseException]] = []
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self.stage = counting_stage("counting", (self.requests, self.commands), self.out)
        self.changelog = f"{self.id}-counting-changelog"

    async def until(self, holds: Callable[[], Awaitable[bool]] | Callable[[], bool], what: str) -> None:
        """Wait for a condition, up to a deadline that only a failure reaches."""
        ends = time.monotonic() + DEADLINE_S
        while True:
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            for failure in self.failures:
                if not failure.cancelled():
                    raise failure.result()
            assert time.monotonic() < ends, f"never: {what}"
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def codec(self) -> AsyncIterator[Codec]:
        async with SchemaRegistry(self.registry_url) as registry:
            yield Codec(registry, self.topics)

    async def set_up(self) -> None:
        await apply_topics(self.kafka, self.topics, self.partitions)
        await apply_topics(self.kafka, [DEAD_LETTERS], DEAD_LETTER_PARTITIONS)
        async with SchemaRegistry(self.registry_url) as registry:
            await registry.register_all((*self.topics, DEAD_LETTERS))

    def settings(self, **changed: Any) -> StreamsSettings:
        values: dict[str, Any] = {"app_id": self.id, "store": "memory", "data_dir": self.folder}
        return StreamsSettings(**values | changed)

    @asynccontextmanager
    async def running(self, stage: Stage | None = None, **settings: Any) -> AsyncIterator[StageRunner]:
        """The stage in this process, ready."""
        async with self.codec() as codec:
            clock = settings.pop("clock", None)
            more = {"clock": clock} if clock else {}
            runner = StageRunner([stage or self.stage], self.settings(**settings), codec, kafka=self.kafka, **more)
            async with runner:
                failure = asyncio.create_task(runner.wait_for_failure())
                failure.add_done_callback(self.failures.append)
                await self.until(lambda: runner.ready() is None, "the runner is ready")
                yield runner
                failure.cancel()

    @asynccontextmanager
    async def process(
        self, crash_at: str = "", folder: str = "rocks", without: str = ""
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """The stage in a process of its own; killed at the end if it still runs."""
        log = (self.folder.parent / f"{folder}.log").open("a")
        given = [
            self.bootstrap,
            self.registry_url,
            str(self.folder.parent / folder),
            self.partitions,
            self.id,
            without,
        ]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.kit.worker",
            json.dumps(given),
            stdout=log,
            stderr=log,
            env=os.environ | {"PENSTOCK_CRASH_AT": crash_at},
        )
        try:
            yield process
        finally:
            log.close()
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def send(self, records: Iterable[Record], to: Topic | None = None, partition: int | None = None) -> None:
        """Produce `records`, each to its own partition unless another is named."""
        target = to or self.requests
        async with self.codec() as codec, AIOKafkaProducer(**self.kafka.client_options(), acks="all") as producer:
            await codec.prepare_writers([target])
            sent = [
                await producer.send(
                    target.name,
                    key=record.tenant_id.encode(),
                    value=codec.encode(target.name, record),
                    partition=target.partition_of(record, self.partitions) if partition is None else partition,
                )
                for record in records
            ]
            await asyncio.gather(*sent)

    async def send_raw(self, value: bytes | None, partition: int = 0, **more: Any) -> None:
        async with AIOKafkaProducer(**self.kafka.client_options(), acks="all") as producer:
            await producer.send_and_wait(self.requests.name, value, key=b"k", partition=partition, **more)

    async def outputs(self) -> list[TenantConfigured]:
        """Everything the stage has visibly written."""
        return [record for record in await self.committed(self.out) if isinstance(record, TenantConfigured)]

    async def counts(self) -> Counter[str]:
        """How often each (tenant, count) was written; each must be once."""
        return Counter(f"{out.tenant_id}={out.concurrency}" for out in await self.outputs())

    async def dead_letters(self) -> list[DeadLetter]:
        """Those from this world's topics."""
        letters = await self.committed(DEAD_LETTERS)
        return [each for each in letters if isinstance(each, DeadLetter) and each.source_topic.startswith(self.id)]

    async def committed(self, each: Topic) -> list[Record]:
        async with self.codec() as codec:
            found: list[Record] = []
            for raw in await self.raw(each.name):
                await codec.load_schema(int.from_bytes(raw.value[1:5], "big"))
                found.append(codec.decode(each.name, raw.value))
            return found

    async def raw(self, name: str, isolation: str = "read_committed") -> list[Any]:
        """Every record of a topic up to its visible end."""
        options = self.kafka.client_options() | {"isolation_level": isolation, "auto_offset_reset": "earliest"}
        async with AIOKafkaConsumer(**options, enable_auto_commit=False, fetch_max_wait_ms=20) as reader:
            count = DEAD_LETTER_PARTITIONS if name == DEAD_LETTERS.name else self.partitions
            reader.assign(parts := [TopicPartition(name, number) for number in range(count)])
            ends = await reader.end_offsets(parts)
            await reader.seek_to_beginning(*parts)
            found: list[Any] = []
            for part in parts:
                while await reader.position(part) < ends[part]:
                    found += (await reader.getmany(part, timeout_ms=20)).get(part, [])
            return found

    async def visible(self, name: str, number: int) -> list[Any]:
        """Every record of a topic, once there are `number`: a commit returns before its markers are written."""
        return await self._at_least(number, partial(self.raw, name), f"{number} records of {name} are visible")

    async def wait_for_outputs(self, number: int) -> list[TenantConfigured]:
        """Everything written, once there are `number`."""
        return await self._at_least(number, self.outputs, f"{number} outputs are visible")

    async def _at_least(self, number: int, read: Callable[[], Awaitable[list[T]]], what: str) -> list[T]:
        found: list[T] = []

        async def enough() -> bool:
            found[:] = await read()
            return len(found) >= number

        await self.until(enough, what)
        return found

    async def group_offsets(self) -> dict[str, int]:
        async with kafka_admin(self.kafka) as admin:
            found = await admin.list_consumer_group_offsets(self.id)
        return {f"{part.topic}/{part.partition}": meta.offset for part, meta in found.items()}
