"""The loader beside inserts of rows: the same charges on Kafka, to rows that a query finds.

    python bench/loader.py [--rounds 3]

A backlog of UsageCharged on four partitions; broker, registry and ClickHouse engine of its own, each path in a
process of its own. The row path decodes each record by the codec and inserts tuples, in batches of the same size.
The rate is from the first record read to the last row queryable, without start-up; processor time is that of the
path's process. Memory is resident: the peak, and the growth of the second half of the backlog over the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import tempfile
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import REGISTRY
from rich.console import Console
from rich.table import Table
from servers import in_a_process, start_clickhouse, start_servers

from penstock.settings import ClickHouseSettings, KafkaSettings
from penstock_consumers.loader import Loader, LoaderSettings
from penstock_consumers.loader.commands import collect_seldom
from penstock_consumers.loader.tables import columns_of
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.records import UsageCharged
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import ACCOUNTS_EVENTS, DEAD_LETTERS
from penstock_services.clickhouse import connect, migrate
from penstock_services.topic_admin import apply_topics

EVENTS, PARTITIONS, BATCH_ROWS = 2_000_000, 4, 100_000
TARGET_RATE, TARGET_MIB = 200_000, 600


def charge(number: int) -> UsageCharged:
    return UsageCharged(
        event_id=f"{number:032x}",
        occurred_at=1_795_000_000_000_000 + number,
        tenant_id=f"tenant-{number % 100}",
        usage_id=f"{number:040x}",
        execution_id=f"{number // 5:032x}",
        epoch=1,
        call_seq=number % 5,
        user_id=f"user-{number % 1_000}",
        agent_type="assistant",
        model="claude-3-haiku",
        input_tokens=number % 3_000,
        output_tokens=number % 700,
        cost_nanousd=number,
        price_version="builtin-1",
        period="2026-11",
        usage_topic="penstock.accounts.commands.v1",
        usage_partition=number % PARTITIONS,
        usage_offset=number,
    )


async def fill(bootstrap: str, registry_url: str, events: int) -> None:
    """Topics, schemas, and the backlog."""
    topics = [ACCOUNTS_EVENTS, DEAD_LETTERS]
    await apply_topics(KafkaSettings(bootstrap_servers=bootstrap), topics, PARTITIONS)
    async with (
        SchemaRegistry(registry_url) as registry,
        AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=1 << 20) as producer,
    ):
        await registry.register_all(topics)
        codec = Codec(registry)
        await codec.prepare_writers(topics)
        for first in range(0, events, 20_000):
            for partition in range(PARTITIONS):
                batch = producer.create_batch()
                for number in range(first + partition, min(first + 20_000, events), PARTITIONS):
                    value = codec.encode(ACCOUNTS_EVENTS.name, charge(number))
                    if batch.append(key=b"k", value=value, timestamp=None) is None:
                        await producer.send_batch(batch, ACCOUNTS_EVENTS.name, partition=partition)
                        batch = producer.create_batch()
                        batch.append(key=b"k", value=value, timestamp=None)
                await producer.send_batch(batch, ACCOUNTS_EVENTS.name, partition=partition)
        await producer.flush()


class Memory:
    """Resident memory of this process, looked at 20 times a second."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._done = threading.Event()
        self._looking = threading.Thread(target=self._look)

    def __enter__(self) -> Memory:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._looking.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.05):
            self.seen.append(process.memory_info().rss)

    def figures(self) -> dict[str, float]:
        """MiB: the peak, and how much higher that of the second half is than that of the first."""
        half = len(self.seen) // 2
        peaks = max(self.seen[:half]), max(self.seen[half:])
        return {"peak_mib": max(peaks) / 2**20, "growth_mib": (peaks[1] - peaks[0]) / 2**20}


async def measured(
    path: str, group: str, events: int, kafka: str, registry_url: str, port: int, password: str
) -> dict[str, float]:
    """One path in this process: records per second, processor time per record, memory."""
    bootstrap = KafkaSettings(bootstrap_servers=kafka)
    clickhouse = ClickHouseSettings(port=port, password=password)
    work = load_columns if path == "columns" else load_rows
    async with SchemaRegistry(registry_url) as registry:
        with Memory() as memory:
            elapsed_s, used_s = await work(group, events, bootstrap, clickhouse, Codec(registry))
    return {"rate": events / elapsed_s, "cpu_us": used_s / events * 1e6, **memory.figures()}


async def load_columns(
    group: str, events: int, kafka: KafkaSettings, clickhouse: ClickHouseSettings, codec: Codec
) -> tuple[float, float]:
    """The loader as it is; seconds and processor seconds."""
    collect_seldom()
    loader = Loader(kafka, clickhouse, codec, LoaderSettings(group_id=group), (ACCOUNTS_EVENTS.name,))
    running = asyncio.create_task(loader.run())
    while not holds(loader):  # noqa: ASYNC110 - a counter has nothing to wait on
        await asyncio.sleep(0.001)
    began, used = time.perf_counter(), time.process_time()
    while loaded() < events:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    figures = time.perf_counter() - began, time.process_time() - used
    loader.stop()
    await running
    return figures


def loaded() -> float:
    return REGISTRY.get_sample_value("penstock_loader_rows_total", {"table": "ledger"}) or 0.0


def holds(loader: Loader) -> bool:
    """Whether it has taken its first record."""
    return loader._intake is not None and loader._intake.gathering.records > 0


async def load_rows(
    group: str, events: int, kafka: KafkaSettings, clickhouse: ClickHouseSettings, codec: Codec
) -> tuple[float, float]:
    """Decode each record, insert tuples, commit."""
    columns = [column for column in columns_of(UsageCharged) if len(column.path) == 1]
    fields = [column.path[0] for column in columns]
    names = [column.name for column in columns] + [
        "kafka_topic",
        "kafka_partition",
        "kafka_offset",
        "kafka_timestamp",
    ]
    consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
        ACCOUNTS_EVENTS.name,
        **kafka.client_options(),
        group_id=group,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_bytes=16 << 20,
    )
    await consumer.start()
    began = used = 0.0
    done = 0
    with connect(clickhouse) as client:
        rows: list[list[Any]] = []
        while done < events:
            for messages in (await consumer.getmany(timeout_ms=200, max_records=10_000)).values():
                if not began:
                    began, used = time.perf_counter(), time.process_time()
                for m in messages:
                    rows.append([*await row_of(codec, m, fields), m.topic, m.partition, m.offset, m.timestamp])
            if len(rows) >= BATCH_ROWS or done + len(rows) >= events:
                await asyncio.to_thread(client.insert, "ledger", rows, column_names=names)
                await consumer.commit()
                done, rows = done + len(rows), []
    figures = time.perf_counter() - began, time.process_time() - used
    await consumer.stop()
    return figures


async def row_of(codec: Codec, message: Any, fields: list[str]) -> list[Any]:
    try:
        record = codec.decode(message.topic, message.value)
    except SchemaNotLoaded as exc:
        await codec.load_schema(exc.schema_id)
        record = codec.decode(message.topic, message.value)
    return [getattr(record, name) or ("" if name == "execution_id" else getattr(record, name)) for name in fields]


async def measure(rounds: int, events: int) -> Table:
    figures: dict[str, list[dict[str, float]]] = {"columns": [], "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as servers:
            kafka, registry_url = await start_servers(servers, Path(folder))
            await fill(kafka, registry_url, events)
            for number in range(rounds):
                for path, found in figures.items():
                    home = Path(folder) / f"{path}-{number}"
                    home.mkdir()
                    async with AsyncExitStack() as engine:
                        clickhouse = await start_clickhouse(engine, home)
                        await asyncio.to_thread(migrate, clickhouse)
                        address = (kafka, registry_url, clickhouse.port, clickhouse.password.get_secret_value())
                        found.append(await in_a_process(__file__, path, f"{path}-{number}", events, *address))
                        with connect(clickhouse) as client:
                            assert client.command("SELECT count() FROM ledger FINAL") == events
    return as_table(figures, rounds, events)


def as_table(figures: dict[str, list[dict[str, float]]], rounds: int, events: int) -> Table:
    title = f"Kafka to queryable rows, {events:,} charges, medians of {rounds} rounds"
    table = Table("figure", "loader", "rows", "target", title=title)

    def row(name: str, key: str, form: str, target: str) -> None:
        medians = [statistics.median(each[key] for each in figures[path]) for path in ("columns", "rows")]
        table.add_row(name, *(form.format(value) for value in medians), target)

    row("charges/s", "rate", "{:,.0f}", f"≥ {TARGET_RATE:,}")
    row("processor time per charge", "cpu_us", "{:.1f} µs", "")
    row("peak memory", "peak_mib", "{:.0f} MiB", f"≤ {TARGET_MIB} MiB")
    row("growth, first half to second", "growth_mib", "{:+.0f} MiB", "flat")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.worker:
        print(json.dumps(uvloop.run(measured(*json.loads(arguments.worker)))))
    else:
        Console().print(asyncio.run(measure(arguments.rounds, arguments.events)))
