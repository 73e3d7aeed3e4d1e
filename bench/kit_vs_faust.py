"""The exactly-once task beside stock Faust: the same typed Avro events, the same table, the same output.

    python bench/kit_vs_faust.py [--rounds 3]

Usage reports in, charges out, one row per user (5,000 of them), four partitions, one process each, on a broker
and a registry of its own. Stock Faust runs at least once, as it comes; the kit runs exactly once. Throughput is
counted between the first and the last event of a run, without start-up. Recovery is from the start of the process
to ready, with 200,000 keys in the changelog; the kit's figure includes joining the group and fencing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
import uvloop
from aiokafka import AIOKafkaProducer
from prometheus_client import REGISTRY
from rich.console import Console
from rich.table import Table
from servers import in_a_process, start_servers

from penstock.settings import KafkaSettings
from penstock_schemas.codec import Codec
from penstock_schemas.records import RecordUsage, UsageCharged
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import DEAD_LETTERS, Topic
from penstock_services.topic_admin import apply_topics
from penstock_streams.kit import (
    Decision,
    Event,
    Output,
    Row,
    Rows,
    Stage,
    StageRunner,
    StreamsSettings,
    TimerDue,
)

PARTITIONS, USERS = 4, 5_000
KIT_EVENTS, FAUST_EVENTS, RECOVERED_KEYS = 150_000, 12_000, 200_000
TARGET_RATIO, TARGET_RECOVERY_S = 12, 6.0


class Spent(Row, frozen=True):
    """What one user has spent."""

    calls: int
    nanousd: int


def usage(number: int, users: int) -> RecordUsage:
    return RecordUsage(
        event_id=f"event-{number:030d}",
        tenant_id=f"tenant-{number % 50}",
        occurred_at=1_790_000_000_000_000 + number,
        usage_id=f"usage-{number:030d}",
        execution_id=f"execution-{number:026d}",
        epoch=1,
        call_seq=number % 7,
        user_id=f"user-{number % users:06d}",
        agent_type="assistant",
        model="claude-3-haiku",
        input_tokens=1200,
        output_tokens=300,
    )


def charge(report: RecordUsage, topic: str, partition: int, offset: int) -> UsageCharged:
    return UsageCharged(
        **report.model_dump(exclude={"event_id", "occurred_at"}),
        cost_nanousd=report.input_tokens * 250 + report.output_tokens * 1250,
        price_version="builtin-1",
        period="2026-11",
        usage_topic=topic,
        usage_partition=partition,
        usage_offset=offset,
    )


class Bench:
    """The topics of one run; the same in this process and in the workers."""

    def __init__(self, bootstrap: str, registry: str, run: str) -> None:
        self.bootstrap, self.registry, self.run = bootstrap, registry, run
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self.reports = _topic(f"{run}-reports", RecordUsage)
        self.charges = _topic(f"{run}-charges", UsageCharged)
        self.topics = (self.reports, self.charges)

    @asynccontextmanager
    async def codec(self) -> AsyncIterator[Codec]:
        async with SchemaRegistry(self.registry) as registry:
            for topic in (*self.topics, DEAD_LETTERS):
                await registry.register(topic, topic.records[0])
            codec = Codec(registry, self.topics)
            await codec.prepare_writers((*self.topics, DEAD_LETTERS))
            yield codec

    async def fill(self, events: int, users: int) -> None:
        """Write the reports, each to the partition of its tenant."""
        await apply_topics(self.kafka, [*self.topics, DEAD_LETTERS], PARTITIONS)
        async with (
            self.codec() as codec,
            AIOKafkaProducer(**self.kafka.client_options(), linger_ms=20, max_batch_size=262_144) as producer,
        ):
            for number in range(events):
                report = usage(number, users)
                partition = self.reports.partition_of(report, PARTITIONS)
                value = codec.encode(self.reports.name, report)
                await producer.send(self.reports.name, value, key=b"k", partition=partition)

    async def process(self, what: str, events: int) -> dict[str, float]:
        """Run `what` in a process of its own; its figures."""
        return await in_a_process(__file__, what, events, self.bootstrap, self.registry, self.run)


async def rate(count: Callable[[], float], events: int) -> float:
    """Events per second, from the first counted ones to the last."""
    while not (first := count()):  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    began = time.perf_counter()
    while (now := count()) < events:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return (now - first) / (time.perf_counter() - began)


async def run_kit(bench: Bench, events: int) -> dict[str, float]:
    def decide(rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        assert isinstance(event, Event)
        assert isinstance(event.record, RecordUsage)
        charged = charge(event.record, event.topic, event.partition, event.offset)
        user = event.record.user_id or ""
        spent = rows.get(user, Spent) or Spent(0, 0)
        row = Spent(spent.calls + 1, spent.nanousd + charged.cost_nanousd)
        return Decision(puts={user: row}, outputs=[Output(bench.charges, charged)])

    def counted() -> float:
        return REGISTRY.get_sample_value("penstock_stream_records_total", {"stage": "charging"}) or 0.0

    stage = Stage("charging", (bench.reports,), (bench.charges,), (Spent,), decide)
    folder = tempfile.TemporaryDirectory()  # of which Faust wants one; gone with this process
    settings = StreamsSettings(app_id=f"{bench.run}-kit", store="memory", data_dir=Path(folder.name))
    began = time.perf_counter()
    async with bench.codec() as codec, StageRunner([stage], settings, codec, kafka=bench.kafka) as runner:
        while runner.ready() is not None:  # noqa: ASYNC110 - a probe has nothing to wait on
            await asyncio.sleep(0.005)
        ready_s = time.perf_counter() - began
        if not events:
            return {"ready_s": ready_s}
        measuring = asyncio.create_task(rate(counted, events))
        failure = asyncio.create_task(runner.wait_for_failure())
        await asyncio.wait([failure, measuring], return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            raise failure.result()
        return {"rate": await measuring}


async def run_faust(bench: Bench, events: int) -> dict[str, float]:
    handled = 0
    app = faust.App(
        f"{bench.run}-faust",
        broker=f"kafka://{bench.bootstrap}",
        store="memory://",
        web_enabled=False,
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        autodiscover=False,
    )
    reports = app.topic(bench.reports.name, value_serializer="raw")
    charges = app.topic(bench.charges.name, value_serializer="raw")
    table = app.Table("charging", partitions=PARTITIONS)
    async with bench.codec() as codec:

        async def charging(stream: Any) -> None:
            nonlocal handled
            async for event in stream.events():
                report = codec.decode(bench.reports.name, event.value)
                assert isinstance(report, RecordUsage)
                message = event.message
                charged = charge(report, message.topic, message.partition, message.offset)
                calls, nanousd = table.get(report.user_id) or (0, 0)
                table[report.user_id] = [calls + 1, nanousd + charged.cost_nanousd]
                value = codec.encode(
                    bench.charges.name, charged, event_id=f"{message.partition}-{message.offset}", occurred_at=1
                )
                await charges.send(key=report.tenant_id, value=value)
                handled += 1

        app.agent(reports)(charging)
        began = time.perf_counter()
        app.finalize()
        await app.start()
        recovery: Any = app.tables.recovery  # type: ignore[attr-defined]
        await recovery.completed.wait()
        ready_s = time.perf_counter() - began
        found = {"rate": await rate(lambda: handled, events)} if events else {"ready_s": ready_s}
        await app.stop()
    return found


async def measure(rounds: int) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as servers:
            bootstrap, registry = await start_servers(servers, Path(folder))
            kit_rates, faust_rates, kit_ready, faust_ready = [], [], [], []
            for number in range(rounds):
                run = f"b{number}-{uuid4().hex[:6]}"
                bench = Bench(bootstrap, registry, run)
                await bench.fill(KIT_EVENTS, USERS)
                faust_rates.append((await bench.process("faust", FAUST_EVENTS))["rate"])
                kit_rates.append((await bench.process("kit", KIT_EVENTS))["rate"])
                full = Bench(bootstrap, registry, f"{run}-full")
                await full.fill(RECOVERED_KEYS, RECOVERED_KEYS)
                await full.process("kit", RECOVERED_KEYS)
                kit_ready.append((await full.process("kit", 0))["ready_s"])
                await _write_faust_changelog(full)
                faust_ready.append((await full.process("faust", 0))["ready_s"])
    table = Table("figure", "kit", "stock Faust", "ratio", "target", title=f"medians of {rounds} rounds")
    kit, stock = statistics.median(kit_rates), statistics.median(faust_rates)
    table.add_row("events/s", f"{kit:,.0f}", f"{stock:,.0f}", f"{kit / stock:.1f}x", f"≥ {TARGET_RATIO}x")
    kit, stock = statistics.median(kit_ready), statistics.median(faust_ready)
    target = f"≤ {TARGET_RECOVERY_S:.0f} s"
    table.add_row("start with 200k keys, s", f"{kit:.1f}", f"{stock:.1f}", f"{stock / kit:.1f}x", target)
    return table


async def _write_faust_changelog(bench: Bench) -> None:
    """What stock Faust would have written for the same keys; it would take it two minutes."""
    name = f"{bench.run}-faust-charging-changelog"
    await apply_topics(bench.kafka, [_topic(name, UsageCharged)], PARTITIONS)
    options = bench.kafka.client_options()
    async with AIOKafkaProducer(**options, linger_ms=20, max_batch_size=262_144) as producer:
        for number in range(RECOVERED_KEYS):
            key, value = json.dumps(f"user-{number:06d}").encode(), json.dumps([1, 675_000]).encode()
            await producer.send(name, value, key=key, partition=number % PARTITIONS)


def _topic(name: str, record: type[Any]) -> Topic:
    return Topic(name, "bench", "commands", "tenant_id", (record,), ("upstream",), 3600)


def worker(what: str, events: int, bootstrap: str, registry: str, run: str) -> dict[str, float]:
    bench = Bench(bootstrap, registry, run)
    return uvloop.run(run_kit(bench, events) if what == "kit" else run_faust(bench, events))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.worker:
        print(json.dumps(worker(*json.loads(arguments.worker))))
    else:
        Console().print(asyncio.run(measure(arguments.rounds)))
