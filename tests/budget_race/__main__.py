"""`python -m tests.budget_race [--seeds 50]`: the race on a stack of its own, every seed with its control.

A thousand requests from eight producers at once, any partitioner, against a budget for exactly a hundred. Exit
code 1 where a seed admitted another number or overshot, where the budgets do not add up afterwards, or where a
control admitted no more than fits: a race that cannot be lost proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

from penstock.settings import KafkaSettings, RegistrySettings
from tests.budget_race.load import FITTING, PRODUCERS, REQUESTS
from tests.budget_race.race import Outcome, problem_with, track
from tests.own_stack import PENSTOCK, own_stack

QUEUE = "nobody"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.budget_race", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = parser.parse_args().seeds
    with own_stack(PENSTOCK_QUEUES=QUEUE):
        begin = time.monotonic()
        outcomes = asyncio.run(races(range(seeds)))
        took_s = time.monotonic() - begin
        audit = subprocess.run([*PENSTOCK, "audit", "--reservations"]).returncode
    Console().print(table_of(outcomes, took_s))
    return 1 if audit or any(map(problem_with, outcomes)) else 0


async def races(seeds: range) -> list[Outcome]:
    async with track(KafkaSettings(), RegistrySettings().url, QUEUE) as racing:
        outcomes = []
        for seed in seeds:
            outcomes.append(await racing.race(seed))
            verdict = problem_with(outcomes[-1]) or "as it should be"
            print(f"seed {seed}: {verdict}; control {outcomes[-1].unguarded_admitted}", flush=True)
        return outcomes


def table_of(outcomes: list[Outcome], took_s: float) -> Table:
    title = f"{REQUESTS:,} requests of {PRODUCERS} producers, a budget for {FITTING}: {len(outcomes)} seeds"
    table = Table("", "admitted", "overshoot", title=title, caption=f"{took_s:.0f} s with the controls")
    kept = [outcome.admitted for outcome in outcomes]
    overshoot = max(outcome.overshoot_tokens for outcome in outcomes)
    table.add_row("one writer", f"{min(kept)} to {max(kept)}", f"{overshoot} tokens")
    loose = [outcome.unguarded_admitted for outcome in outcomes]
    shown = f"{min(loose)} to {max(loose)}, median {statistics.median(loose):.0f}"
    table.add_row("check, then act", shown, f"{max(loose) - FITTING} runs")
    return table


if __name__ == "__main__":
    sys.exit(main())
