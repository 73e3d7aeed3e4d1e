"""The accounts stage alone, on a broker of its own: reports of usage charged a second, with a long memory of them.

    python bench/charging.py [--rounds 3] [--known 1000000] [--events 200000]

One streams process, exactly once, rocksdb, four partitions. It first charges `--known` reports, whose ids it then
remembers until the month after next, and is measured over `--events` more, beside the first as many. Processor
time is user and system of the whole process, and does not suffer from what else the machine does. A twentieth of
the reports are repeats; there are 100 tenants with a budget each, and every tenth report is of a user with one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaProducer
from prometheus_client import REGISTRY
from rich.console import Console
from rich.table import Table
from servers import in_a_process, start_servers

from penstock.artifacts import ArtifactStore
from penstock.settings import KafkaSettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import ACCOUNTS_COMMANDS, TOPICS
from penstock_services.topic_admin import apply_topics
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.wiring import accounts_stage
from penstock_streams.kit import StageRunner, StreamsSettings

PARTITIONS, TENANTS, USERS = 4, 100, 10
REPEAT_EVERY = 20
MODELS = ("claude-3-haiku", "claude-3-sonnet", "claude-3-opus", "gpt-4", "gpt-4-turbo")


def budgets() -> Iterator[r.Record]:
    for tenant in range(TENANTS):
        about = {"tenant_id": f"tenant-{tenant}", "occurred_at": now_us(), "monthly_nanousd": 10**15}
        yield r.ConfigureTenant(**about, event_id=f"t-{tenant}", tier="enterprise")
        yield r.ConfigureUser(**about, event_id=f"u-{tenant}", user_id="user-0")


def usage(number: int) -> r.RecordUsage:
    call = number - number % REPEAT_EVERY if number % REPEAT_EVERY == 1 else number
    return r.RecordUsage(
        event_id=f"{number:032x}",
        tenant_id=f"tenant-{call * 7 % TENANTS}",
        occurred_at=now_us(),
        usage_id=f"{call:040x}",
        execution_id=f"{call // 5:032x}",
        epoch=1,
        call_seq=call % 5,
        user_id=f"user-{call % USERS}",
        agent_type="assistant",
        model=MODELS[call % len(MODELS)],
        input_tokens=call % 3_000,
        cache_read_tokens=call % 977 if call % 3 == 0 else 0,
        output_tokens=call % 700,
    )


def now_us() -> int:
    return time.time_ns() // 1_000


async def fill(bootstrap: str, registry_url: str, events: int) -> None:
    """Topics, schemas, and the backlog."""
    await apply_topics(KafkaSettings(bootstrap_servers=bootstrap), TOPICS.values(), PARTITIONS)
    async with (
        SchemaRegistry(registry_url) as registry,
        AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=1 << 19) as producer,
    ):
        await registry.register_all(TOPICS.values())
        codec = Codec(registry)
        await codec.prepare_writers([ACCOUNTS_COMMANDS])
        for record in budgets():
            await send(codec, producer, record)
        for number in range(events):
            await send(codec, producer, usage(number))


async def send(codec: Codec, producer: AIOKafkaProducer, record: r.Record) -> None:
    partition = ACCOUNTS_COMMANDS.partition_of(record, PARTITIONS)
    value = codec.encode(ACCOUNTS_COMMANDS.name, record)
    await producer.send(ACCOUNTS_COMMANDS.name, value, key=b"k", partition=partition)


async def streams(known: int, events: int, bootstrap: str, registry_url: str) -> dict[str, float]:
    """A streams process of the accounts stage alone; what the first and the last `events` took."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        stage = accounts_stage(Policy(), ArtifactStore(Path(folder).as_uri()))
        async with SchemaRegistry(registry_url) as registry:
            codec = Codec(registry)
            await codec.prepare_writers()
            settings, kafka = StreamsSettings(data_dir=Path(folder)), KafkaSettings(bootstrap_servers=bootstrap)
            async with StageRunner([stage], settings, codec, kafka=kafka):
                first = await measured(2 * TENANTS, events)
                last = await measured(known, events)
    return {
        f"{name}_{when}": value for when, of in (("first", first), ("last", last)) for name, value in of.items()
    }


async def measured(since: int, events: int) -> dict[str, float]:
    """Events a second of the clock, and processor milliseconds per 1,000, from the `since`th on."""
    await until_counted(since)
    began, used, counted_before = time.perf_counter(), time.process_time(), counted()
    await until_counted(counted_before + events)
    done = counted() - counted_before
    return {
        "rate": done / (time.perf_counter() - began),
        "cpu_ms": (time.process_time() - used) / done * 1e6,
    }


def counted() -> float:
    return REGISTRY.get_sample_value("penstock_stream_records_total", {"stage": "accounts"}) or 0.0


async def until_counted(events: float) -> None:
    while counted() < events:  # noqa: ASYNC110 - a counter has nothing to wait on
        await asyncio.sleep(0.05)


async def measure(rounds: int, known: int, events: int) -> Table:
    figures: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            home = Path(folder) / str(number)
            home.mkdir()
            async with AsyncExitStack() as servers:
                addresses = await start_servers(servers, home)
                await fill(*addresses, known + 2 * events)
                figures.append(await in_a_process(__file__, known, events, *addresses))
    title = f"Accounts, one streams process, medians of {rounds} rounds"
    table = Table("figure", "at first", f"after {known:,} reports", "target", title=title)

    def row(name: str, key: str, form: str, target: str) -> None:
        medians = (statistics.median(of[f"{key}_{when}"] for of in figures) for when in ("first", "last"))
        table.add_row(name, *(form.format(median) for median in medians), target)

    row("reports charged/s", "rate", "{:,.0f}", "≥ 10,000")
    row("processor time per 1,000", "cpu_ms", "{:.0f} ms", "≤ 100 ms")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--known", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.worker:
        print(json.dumps(uvloop.run(streams(*json.loads(arguments.worker)))))
    else:
        Console().print(asyncio.run(measure(arguments.rounds, arguments.known, arguments.events)))
