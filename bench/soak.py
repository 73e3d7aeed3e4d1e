"""Whether memory stays flat: the whole stack under steady load, its processes' memory by the minute.

    python bench/soak.py [--minutes 10] [--per-second 10]

Executions of the built-in `echo` arrive evenly, of many tenants, each id of them new. Resident memory of each
process is read every few seconds; a row shows medians of the second minute, of the middle one and of the last, and
what the last is above the second. The first minute fills caches and is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table
from stack import resident_bytes, start, stop

import penstock

SAMPLED_EVERY_S = 5.0
TENANTS = 50
SETTLED_WITHIN_S = 120.0
Samples = dict[str, dict[int, list[int]]]
"""Resident bytes by process and minute."""


async def load(client: penstock.Client, ends_s: float, per_second: float) -> tuple[int, int]:
    """Submit until `ends_s` and await every result; how many were asked for, and how many completed."""
    results: set[asyncio.Task[object]] = set()
    asked = completed = 0
    next_s = time.monotonic()
    while next_s < ends_s:
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        next_s += 1 / per_second
        asked += 1
        submission = await client.submit("echo", f"number {asked}", tenant=f"soak-{asked % TENANTS}")
        results.add(asyncio.create_task(client.result(submission.execution_id, timeout_s=SETTLED_WITHIN_S)))
        done = {result for result in results if result.done()}
        results -= done
        completed += sum(result.exception() is None for result in done)
    rest = await asyncio.gather(*results, return_exceptions=True)
    return asked, completed + sum(not isinstance(result, BaseException) for result in rest)


async def sample(samples: Samples) -> None:
    began_s = time.monotonic()
    while True:
        await asyncio.sleep(SAMPLED_EVERY_S)
        minute = int((time.monotonic() - began_s) // 60)
        for name, resident in (await asyncio.to_thread(resident_bytes)).items():
            samples[name][minute].append(resident)


async def soak(minutes: int, per_second: float) -> Table:
    samples: Samples = defaultdict(lambda: defaultdict(list))
    async with penstock.Client() as client:
        sampling = asyncio.create_task(sample(samples))
        asked, completed = await load(client, time.monotonic() + minutes * 60, per_second)
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling
    title = f"{minutes} minutes at {per_second:g} executions/s: {completed:,} of {asked:,} completed"
    table = Table("process", "minute 2", f"minute {minutes // 2}", f"minute {minutes}", "grown", title=title)
    for name, by_minute in samples.items():
        second, middle, last = (
            statistics.median(by_minute[minute]) / 2**20 for minute in (1, minutes // 2 - 1, minutes - 1)
        )
        cells = (f"{mebibytes:.0f} MiB" for mebibytes in (second, middle, last))
        table.add_row(name, *cells, f"{last - second:+.0f} MiB")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--per-second", type=float, default=10.0)
    options = parser.parse_args()
    if options.minutes < 4:
        parser.error("--minutes must be 4 or more: the first is left out, and three are shown")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        start(Path(folder) / ".penstock")
        try:
            Console().print(asyncio.run(soak(options.minutes, options.per_second)))
        finally:
            stop()


if __name__ == "__main__":
    main()
