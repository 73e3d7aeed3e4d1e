"""Pipelines on a stack of their own: what four stages take that do nothing, and a fan-out of a thousand.

    python bench/pipelines.py [--rounds 20] [--branches 1000] [--workers 2]

Times are from sending the request to PipelineCompleted at a reader. The stages run the `echo` agent, so what is
measured is the way through stages, admission, leases and processes. The fan-out is one stage, the branches, and
one that joins them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from stack import another_worker

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.piping import Piping, request, spec
from tests.own_stack import own_stack

import penstock
from penstock_schemas import records as r

TENANT = "bench"


async def took_s(piping: Piping, asked: r.StartPipeline) -> tuple[float, list[Any]]:
    """Seconds until it completed, and its events."""
    begin = time.monotonic()
    events = await piping.ask(asked)
    assert isinstance(events[-1], r.PipelineCompleted), events[-1]
    return time.monotonic() - begin, events


async def measure(rounds: int, branches: int, fan_outs: int) -> tuple[list[float], list[float]]:
    chain = [spec(f"s{n}", n) for n in range(4)]
    fan = [spec("split", 0), *(spec(f"b{n}", 1) for n in range(branches)), spec("join", 2)]
    async with penstock.Client() as client:
        piping = Piping(client)
        await client.configure_tenant(TENANT, tier="enterprise", concurrency=200)
        for _ in range(3):
            await took_s(piping, request(TENANT, *chain))  # connections, slots and caches are made once
        idle = [(await took_s(piping, request(TENANT, *chain)))[0] for _ in range(rounds)]
        wide = []
        for _ in range(fan_outs):
            seconds, events = await took_s(piping, request(TENANT, *fan))
            assert sum(isinstance(event, r.StageCompleted) for event in events) == branches + 2
            wide.append(seconds)
    return idle, wide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="at least 2")
    parser.add_argument("--branches", type=int, default=1_000)
    parser.add_argument("--fan-outs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with own_stack(), ExitStack() as more:
        for _ in range(given.workers - 1):
            more.enter_context(another_worker())
        idle, wide = asyncio.run(measure(given.rounds, given.branches, given.fan_outs))
    table = Table(
        title="Pipelines", caption=f"{given.workers} workers; {given.rounds} and {given.fan_outs} rounds"
    )
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    quantiles = statistics.quantiles(idle, n=20)
    table.add_row("four stages, p50", f"{statistics.median(idle) * 1000:.0f} ms", "≤ 600 ms")
    table.add_row("four stages, p95", f"{quantiles[18] * 1000:.0f} ms", "")
    table.add_row(f"{given.branches} branches, joined", f"{statistics.median(wide):.1f} s", "≤ 15 s")
    table.add_row(f"{given.branches} branches, slowest", f"{max(wide):.1f} s", "")
    Console().print(table)


if __name__ == "__main__":
    main()
