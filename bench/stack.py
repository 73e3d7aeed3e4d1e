"""The embedded stack as a user meets it: time to healthy, memory, latency to first progress, throughput.

    python bench/stack.py [--rounds 3]

Each figure is the median of its rounds. The stack runs in a temporary folder on free ports.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table

import penstock
from penstock_schemas.records import ProgressRecord
from penstock_services.embedded.ports import free_ports

LATENCY_RUNS = 40
THROUGHPUT_RUNS = 200
PENSTOCK = [sys.executable, "-m", "penstock"]


def start(home: Path) -> float:
    """Seconds from `penstock up` to all healthy."""
    os.environ["PENSTOCK_HOME"] = str(home)
    begin = time.monotonic()
    subprocess.run([*PENSTOCK, "up", "--ports", "auto"], check=True, stdout=subprocess.DEVNULL)
    elapsed = time.monotonic() - begin
    os.environ.update({k: v for k, v in dotenv_values(home / "stack.env").items() if v is not None})
    return elapsed


@contextmanager
def another_worker() -> Iterator[None]:
    """A second worker on the running stack, from when all its slots are ready."""
    (port,) = free_ports(1)
    environment = {**os.environ, "PENSTOCK_HEALTH_PORT": str(port)}
    worker = subprocess.Popen([*PENSTOCK, "worker"], env=environment, stderr=subprocess.DEVNULL)
    try:
        while not _answers(f"http://127.0.0.1:{port}/healthz/ready"):
            if worker.poll() is not None:
                raise SystemExit(f"the second worker ended with status {worker.returncode}")
            time.sleep(0.1)
        yield
    finally:
        worker.terminate()
        worker.wait()


def _answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=1).status == 200)
    except OSError:  # of which an error status is one
        return False


def stop() -> None:
    subprocess.run([*PENSTOCK, "down"], check=True, stdout=subprocess.DEVNULL)


def resident_bytes() -> dict[str, int]:
    """Resident memory by process of the stack."""
    status = json.loads(subprocess.run([*PENSTOCK, "status", "--json"], check=True, capture_output=True).stdout)
    return {process["name"]: process["rss_bytes"] for process in status["processes"]}


async def first_progress_s(client: penstock.Client) -> float:
    """Seconds from Kafka's acknowledgement of a request to its first progress record at a follower."""
    submission = await client.submit("echo", "ping", tenant="latency")
    accepted = time.monotonic()
    first = 0.0
    async with aclosing(client.follow(submission.execution_id)) as records:
        async for record in records:
            if isinstance(record, ProgressRecord) and not first:
                first = time.monotonic() - accepted
    return first


async def runs_per_s(client: penstock.Client, round_number: int) -> float:
    """Completed runs per second for a backlog of echo runs, from the first submission to the last result."""
    tenant = f"throughput-{round_number}"
    begin = time.monotonic()
    submissions = await asyncio.gather(
        *(client.submit("echo", f"run {n}", tenant=tenant) for n in range(THROUGHPUT_RUNS))
    )
    completed: set[str] = set()
    wanted = {submission.execution_id for submission in submissions}
    while completed != wanted:
        rows = await client.list(tenant=tenant, limit=THROUGHPUT_RUNS)
        completed = {row.execution_id for row in rows if row.status == "completed"}
        await asyncio.sleep(0.05)
    return THROUGHPUT_RUNS / (time.monotonic() - begin)


async def measure(rounds: int) -> tuple[list[float], list[float]]:
    async with penstock.Client() as client:
        for _ in range(5):
            await first_progress_s(client)  # connections and caches are made once
        latencies = [await first_progress_s(client) for _ in range(LATENCY_RUNS)]
        for number in range(rounds):
            await client.configure_tenant(f"throughput-{number}", tier="pro", concurrency=50)
        rates = [await runs_per_s(client, number) for number in range(rounds)]
    return latencies, rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    up_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        for number in range(rounds):
            up_s.append(start(Path(folder) / str(number) / ".penstock"))
            if number < rounds - 1:
                stop()
        try:
            latencies, rates = asyncio.run(measure(rounds))
            memory = resident_bytes()
        finally:
            stop()
    table = Table(title="The embedded stack", caption=f"medians; {rounds} rounds; {LATENCY_RUNS} latency runs")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    gib = sum(memory.values()) / 2**30
    quantiles = statistics.quantiles(latencies, n=100)
    table.add_row("penstock up until all healthy", f"{statistics.median(up_s):.1f} s", "≤ 30 s")
    table.add_row("resident memory of the whole stack", f"{gib:.2f} GiB", "≤ 2.5 GiB")
    table.add_row("accepted → first progress, p50", f"{quantiles[49] * 1000:.0f} ms", "≤ 150 ms")
    table.add_row("accepted → first progress, p99", f"{quantiles[98] * 1000:.0f} ms", "")
    rate = statistics.median(rates)
    table.add_row(f"{THROUGHPUT_RUNS} echo runs, submitted to queryable", f"{rate:.0f} runs/s", "≥ 40 runs/s")
    Console().print(table)
    Console().print({name: f"{size / 2**20:.0f} MiB" for name, size in memory.items()})


if __name__ == "__main__":
    main()
