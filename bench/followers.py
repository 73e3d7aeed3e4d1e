"""What following costs: latency from Kafka's acknowledgement to a follower, and memory, with 1 and with 1,000.

    python bench/followers.py [--followers 1000] [--records 400]

Each record is written after the one before was seen, to one follower after another; then every follower gets one
at the same time. Kafka and the registry run in a temporary folder on free ports.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table

from penstock.client import Client
from penstock_schemas import records as r
from penstock_schemas.ids import execution_id
from penstock_schemas.topics import EXECUTIONS_PROGRESS

PENSTOCK = [sys.executable, "-m", "penstock"]
PAGE_BYTES = resource.getpagesize()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


class Followers:
    """Followers of made-up executions, and what each has seen."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self.ids = [execution_id("bench", str(uuid4())) for _ in range(number)]
        self._seqs = dict.fromkeys(self.ids, 0)
        self._seen: dict[tuple[str, int], asyncio.Future[float]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for run in self.ids:
            cursor = await self._client._submitting.cursor_now(run)
            self._tasks.append(asyncio.create_task(self._follow(run, cursor)))
        await asyncio.gather(*(self.write(run) for run in self.ids))  # all have joined once all have seen one

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def write(self, run: str) -> float:
        """Seconds from the acknowledgement of a progress record to its follower."""
        self._seqs[run] += 1
        seq = self._seqs[run]
        seen = self._seen[run, seq] = asyncio.get_running_loop().create_future()
        record = r.ProgressReported(
            event_id=str(uuid4()),
            tenant_id="bench",
            occurred_at=time.time_ns() // 1000,
            execution_id=run,
            epoch=1,
            seq=seq,
            message="x" * 100,
        )
        await self._client._submitting.produce(EXECUTIONS_PROGRESS, record)
        accepted_s = time.monotonic()
        return max(0.0, await seen - accepted_s)

    async def _follow(self, run: str, cursor: object) -> None:
        async for item in self._client.follow(run, from_cursor=cursor):  # type: ignore[arg-type]
            assert isinstance(item, r.ProgressReported), item
            self._seen.pop((run, item.seq)).set_result(time.monotonic())


async def measured(number: int, records: int) -> tuple[str, ...]:
    async with Client() as client:
        warm = Followers(client, 1)
        await warm.start()
        before = resident_bytes()
        followers = Followers(client, number)
        began_s = time.monotonic()
        await followers.start()
        joined_s = time.monotonic() - began_s
        memory = resident_bytes() - before
        one_by_one = [await followers.write(followers.ids[n % number]) for n in range(records)]
        at_once = await asyncio.gather(*(followers.write(run) for run in followers.ids))
        consumers = sum(1 for thing in _consumers() if thing.assignment())
        await followers.stop()
        await warm.stop()
    p = statistics.quantiles(one_by_one, n=100)
    burst = sorted(at_once)
    return (
        str(number),
        str(consumers),
        f"{joined_s:.2f} s",
        f"{memory / 1024 / number:,.0f} KiB" if number > 1 else "",
        f"{p[49] * 1000:.1f} / {p[98] * 1000:.1f} ms",
        f"{burst[len(burst) // 2] * 1000:.0f} / {burst[int(len(burst) * 0.99)] * 1000:.0f} ms",
    )


def _consumers() -> list[AIOKafkaConsumer]:
    import gc

    return [thing for thing in gc.get_objects() if type(thing) is AIOKafkaConsumer and not thing._closed]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--followers", type=int, default=1_000)
    arguments.add_argument("--records", type=int, default=400)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / ".penstock"
        os.environ["PENSTOCK_HOME"] = str(home)
        subprocess.run(
            [*PENSTOCK, "up", "--servers-only", "--ports", "auto"], check=True, stdout=subprocess.DEVNULL
        )
        try:
            os.environ.update({k: v for k, v in dotenv_values(home / "stack.env").items() if v is not None})
            table = Table(
                "followers",
                "consumers",
                "all have joined",
                "memory each",
                "one by one p50/p99",
                "all at once p50/p99",
                title="From Kafka's acknowledgement of a record to its follower",
            )
            for number in (1, options.followers):
                table.add_row(*asyncio.run(measured(number, options.records)))
            Console().print(table)
        finally:
            subprocess.run([*PENSTOCK, "down"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
