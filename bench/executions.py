"""Executions on the whole stack: from request to running, from cancel to the agent, and how many in a second.

    python bench/executions.py [--rounds 3]

Two workers (the stack's and another) with 16 slots each, on the stack of `penstock up` in a temporary folder.
Throughput counts executions of an agent that reports one provider call and returns: admitted, leased, run,
charged, and both the result and the charge in ClickHouse. Latencies are those of a stack that has run for a while:
the broker's compiler is at work during the first thirty runs or so, which take about twice as long.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.table import Table
from stack import another_worker, start, stop

import penstock
from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import ACCOUNTS_REQUESTS
from penstock_services.clickhouse import connect

SLOTS = 16
WARM_UP_RUNS, LATENCY_RUNS, CANCELLED_RUNS = 50, 300, 40
TENANTS, RUNS = 8, 6_000
MODEL = "claude-3-haiku"


def install_agents(folder: Path) -> None:
    """Put `bench/agents.py` where slot processes find it, as an installed distribution would be."""
    info = folder / "penstock_bench_agents-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: penstock-bench-agents\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[penstock.agents]\nnoop = agents:Noop\nlistens = agents:Listens\ntakes = agents:Takes\n"
    )
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(__file__).parent)])


async def seconds_to_running(client: penstock.Client) -> float:
    """From `submit` to the AttemptStarted a follower sees."""
    began = time.perf_counter()
    submission = await client.submit("noop", "", tenant="latency")
    async with aclosing(client.follow(submission.execution_id)) as records:
        async for record in records:
            if isinstance(record, r.AttemptStarted):
                took_s = time.perf_counter() - began
    return took_s


async def seconds_to_cancelled(client: penstock.Client) -> float:
    """From `cancel` to the agent, which says when it saw it."""
    submission = await client.submit("listens", "", tenant="latency")
    cancelling: asyncio.Task[penstock.Execution] | None = None
    asked_ns = heard_ns = 0
    async with aclosing(client.follow(submission.execution_id)) as records:
        async for record in records:
            if isinstance(record, r.ProgressReported) and record.message == "listening":
                asked_ns = time.time_ns()
                cancelling = asyncio.create_task(client.cancel(submission.execution_id, tenant="latency"))
            elif isinstance(record, r.ProgressReported):
                heard_ns = int(record.message)
    assert cancelling is not None
    await cancelling
    return (heard_ns - asked_ns) / 1e9


async def runs_per_s(round_number: int) -> float:
    """From the first request to the last result and charge in ClickHouse."""
    tenants = [f"load-{round_number}-{n}" for n in range(TENANTS)]
    kafka = KafkaSettings()
    clickhouse = await asyncio.to_thread(connect, ClickHouseSettings())
    query = """
        SELECT
            (SELECT uniqExact(execution_id) FROM executions_events
             WHERE record_type = 'ExecutionCompleted' AND tenant_id IN {t:Array(String)}),
            (SELECT uniqExact(usage_id) FROM ledger WHERE tenant_id IN {t:Array(String)})
    """
    async with (
        SchemaRegistry(RegistrySettings().url) as registry,
        AIOKafkaProducer(**kafka.client_options(), linger_ms=5) as producer,
    ):
        codec = Codec(registry)
        await codec.prepare_writers([ACCOUNTS_REQUESTS])
        partitions = len(await producer.partitions_for(ACCOUNTS_REQUESTS.name))
        began = time.perf_counter()
        for number in range(RUNS):
            request = r.RequestExecution(
                event_id=f"{round_number}-{number}",
                tenant_id=tenants[number % TENANTS],
                occurred_at=time.time_ns() // 1000,
                request_id=f"{round_number}-{number}",
                agent_type="noop",
                input="",
                model=MODEL,
            )
            partition = ACCOUNTS_REQUESTS.partition_of(request, partitions)
            await producer.send(
                ACCOUNTS_REQUESTS.name, codec.encode(ACCOUNTS_REQUESTS.name, request), partition=partition
            )
        while True:
            rows = await asyncio.to_thread(clickhouse.query, query, parameters={"t": tenants})
            if rows.result_rows[0] == (RUNS, RUNS):
                return RUNS / (time.perf_counter() - began)
            await asyncio.sleep(0.2)


async def measure(rounds: int) -> Table:
    async with penstock.Client() as client:
        for number in range(rounds):
            for tenant in range(TENANTS):
                await client.configure_tenant(f"load-{number}-{tenant}", tier="enterprise")
        for _ in range(WARM_UP_RUNS):
            await seconds_to_running(client)
        starts = [await seconds_to_running(client) for _ in range(LATENCY_RUNS)]
        cancels = [await seconds_to_cancelled(client) for _ in range(CANCELLED_RUNS)]
    rates = [await runs_per_s(number) for number in range(rounds)]
    table = Table("figure", "measured", "target", title=f"Executions on the whole stack, {rounds} rounds")
    quantiles = statistics.quantiles(starts, n=100)
    table.add_row("request → running, p50", f"{quantiles[49] * 1000:.0f} ms", "≤ 45 ms")
    table.add_row("request → running, p99", f"{quantiles[98] * 1000:.0f} ms", "≤ 150 ms")
    quantiles = statistics.quantiles(cancels, n=100)
    table.add_row("cancel → agent, p50", f"{quantiles[49] * 1000:.0f} ms", "")
    table.add_row("cancel → agent, p99", f"{quantiles[98] * 1000:.0f} ms", "≤ 300 ms")
    table.add_row("no-op executions, 2 workers, median", f"{statistics.median(rates):.0f}/s", "≥ 300/s")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ["PENSTOCK_WORKER_CONCURRENCY"] = str(SLOTS)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        site = Path(folder) / "site"
        site.mkdir()
        install_agents(site)
        start(Path(folder) / ".penstock")
        try:
            with another_worker():
                Console().print(asyncio.run(measure(rounds)))
        finally:
            stop()


if __name__ == "__main__":
    main()
