"""Whether one tenant's backlog holds up another's run: request to running, with and without 10,000 runs queued.

    python bench/fairness.py [--queued 10000] [--samples 40]

One worker with 16 slots on the stack of `penstock up` in a temporary folder. The busy tenant's runs take a quarter
of a second each; it may have 8 at once, fewer than there are slots, then 64, four times as many. The other tenant
asks for one run at a time. `overtaken by` counts the busy tenant's attempts that started between that run's
admission and its start, by Kafka's clock; what is not released waits in accounts and is in nobody's way.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from executions import install_agents
from rich.console import Console
from rich.table import Table
from stack import start, stop

import penstock
from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import ACCOUNTS_REQUESTS
from penstock_services.clickhouse import connect

SLOTS, FEW, MANY = 16, 8, 64
RUN_S = 0.25
BUSY, QUIET = "busy", "quiet"
COUNT = """
    SELECT uniqExact(execution_id) FROM executions_events WHERE tenant_id = 'busy' AND record_type = {kind:String}
"""
OVERTAKEN = """
    WITH
        (SELECT min(kafka_timestamp) FROM executions_events
         WHERE execution_id = {e:String} AND record_type = 'ExecutionAdmitted') AS admitted,
        (SELECT min(kafka_timestamp) FROM executions_events
         WHERE execution_id = {e:String} AND record_type = 'AttemptStarted') AS started
    SELECT
        least(admitted, started) > toDateTime64('1970-01-02', 3),
        countIf(kafka_timestamp > admitted AND kafka_timestamp < started)
    FROM executions_events WHERE tenant_id = 'busy' AND record_type = 'AttemptStarted'
"""


@dataclass
class Sampled:
    """What the quiet tenant saw beside a busy one that may have `concurrency` runs at once; 0 is alone."""

    concurrency: int
    seconds: list[float]
    overtaken_by: list[int]
    still_queued: int


async def queue(count: int) -> None:
    """The busy tenant's backlog."""
    async with (
        SchemaRegistry(RegistrySettings().url) as registry,
        AIOKafkaProducer(**KafkaSettings().client_options(), linger_ms=5) as producer,
    ):
        codec = Codec(registry)
        await codec.prepare_writers([ACCOUNTS_REQUESTS])
        partitions = len(await producer.partitions_for(ACCOUNTS_REQUESTS.name))
        for number in range(count):
            request = r.RequestExecution(
                event_id=f"busy-{number}",
                tenant_id=BUSY,
                occurred_at=time.time_ns() // 1000,
                request_id=f"busy-{number}",
                agent_type="takes",
                input=str(RUN_S),
            )
            partition = ACCOUNTS_REQUESTS.partition_of(request, partitions)
            value = codec.encode(ACCOUNTS_REQUESTS.name, request)
            await producer.send(ACCOUNTS_REQUESTS.name, value, partition=partition)


async def one_run(client: penstock.Client) -> tuple[str, float]:
    """A run of the quiet tenant, to its end; seconds from asking to running."""
    began, took_s = time.perf_counter(), 0.0
    submission = await client.submit("noop", "", tenant=QUIET)
    async with aclosing(client.follow(submission.execution_id)) as records:
        async for record in records:
            if isinstance(record, r.AttemptStarted):
                took_s = time.perf_counter() - began
    return submission.execution_id, took_s


async def sample(client: penstock.Client, clickhouse: Any, samples: int, concurrency: int, queued: int) -> Sampled:
    runs = [await one_run(client) for _ in range(samples)]
    started = await counted(clickhouse, "AttemptStarted")
    overtaken = [await overtaken_by(clickhouse, execution_id) for execution_id, _ in runs] if concurrency else [0]
    return Sampled(concurrency, [took_s for _, took_s in runs], overtaken, max(0, queued - started))


async def overtaken_by(clickhouse: Any, execution_id: str) -> int:
    """Once ClickHouse has both moments."""
    while True:
        rows = await asyncio.to_thread(clickhouse.query, OVERTAKEN, parameters={"e": execution_id})
        if rows.result_rows and rows.result_rows[0][0]:
            return int(rows.result_rows[0][1])
        await asyncio.sleep(0.1)


async def counted(clickhouse: Any, kind: str) -> int:
    """Runs of the busy tenant with such an event."""
    rows = await asyncio.to_thread(clickhouse.query, COUNT, parameters={"kind": kind})
    return int(rows.result_rows[0][0])


async def until_counted(clickhouse: Any, kind: str, count: int) -> None:
    while await counted(clickhouse, kind) < count:  # noqa: ASYNC110 - ClickHouse tells nobody
        await asyncio.sleep(0.1)


async def measure(queued: int, samples: int) -> Table:
    clickhouse = await asyncio.to_thread(connect, ClickHouseSettings())
    async with penstock.Client() as client:
        for _ in range(5):
            await one_run(client)  # connections and caches are made once
        results = [await sample(client, clickhouse, samples, 0, 0)]
        await client.configure_tenant(BUSY, tier="enterprise", concurrency=FEW)
        await queue(queued)
        await until_counted(clickhouse, "ExecutionQueued", queued - FEW)
        results.append(await sample(client, clickhouse, samples, FEW, queued))
        await client.configure_tenant(BUSY, tier="enterprise", concurrency=MANY)
        await until_counted(clickhouse, "ExecutionAdmitted", MANY)
        results.append(await sample(client, clickhouse, samples, MANY, queued))
    return as_table(results, queued)


def as_table(results: list[Sampled], queued: int) -> Table:
    title = f"One run beside {queued:,} of another tenant, {RUN_S} s each, {SLOTS} slots"
    table = Table("", "request → running, p50", "p95", "max", "overtaken by, most", "left in queue", title=title)
    for result in results:
        name = f"busy tenant: {result.concurrency} at once" if result.concurrency else "alone"
        p95 = statistics.quantiles(result.seconds, n=20)[18]
        shown = (statistics.median(result.seconds), p95, max(result.seconds))
        times = [f"{seconds * 1000:,.0f} ms" for seconds in shown]
        table.add_row(name, *times, str(max(result.overtaken_by)), f"{result.still_queued:,}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=40)
    arguments = parser.parse_args()
    os.environ["PENSTOCK_WORKER_CONCURRENCY"] = str(SLOTS)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        site = Path(folder) / "site"
        site.mkdir()
        install_agents(site)
        start(Path(folder) / ".penstock")
        try:
            Console().print(asyncio.run(measure(arguments.queued, arguments.samples)))
        finally:
            stop()


if __name__ == "__main__":
    main()
