"""`python -m tests.exact_bill [--events 1000000]`: a million reports on a stack of its own, and the bill.

40 tenants, 8 users and 5 agents each, 9 models, cache buckets, tool calls and sandbox time; 5 % of the reports are
repeats, 2 % happened up to six days ago, 1 % are of models without a price, half of which get one later. The bill
is `v_bill` after accounts and the loader; beside it every call is priced by fractions, from prices written down
here. Exit code 1 where one sum differs in a nano-dollar, or where `penstock audit` finds a difference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time

import psutil
from rich.console import Console
from rich.table import Table

from penstock.client import Client
from penstock.money import usd_text
from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_services.clickhouse import connect
from tests.exact_bill.proof import Platform, Proof, prove
from tests.own_stack import PENSTOCK, own_stack


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.exact_bill", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--no-audit", action="store_true", help="leave out `penstock audit`, which reads it all again"
    )
    options = parser.parse_args()
    with own_stack():
        before = processor_s()
        proof = asyncio.run(proved(options.events, options.seed))
        after = processor_s()
        used_s = {name: used - before[name, pid] for (name, pid), used in after.items() if (name, pid) in before}
        Console().print(table_of(proof, used_s))
        for difference in proof.differences:
            print(difference)
        failed = bool(proof.differences)
        if not options.no_audit:
            for arguments in (("audit", "--wait", "60"), ("audit", "--reservations")):
                began = time.monotonic()
                failed |= subprocess.run([*PENSTOCK, *arguments]).returncode != 0
                print(f"penstock {' '.join(arguments)}: {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


async def proved(events: int, seed: int) -> Proof:
    clickhouse = await asyncio.to_thread(connect, ClickHouseSettings())
    async with Client() as client:
        return await prove(
            Platform(client, clickhouse, KafkaSettings(), RegistrySettings()), events, seed, "million"
        )


def processor_s() -> dict[tuple[str, int], float]:
    """Processor seconds, user and system, of each process of the stack so far, by name and pid."""
    status = json.loads(subprocess.run([*PENSTOCK, "status", "--json"], check=True, capture_output=True).stdout)
    times = {(p["name"], p["pid"]): psutil.Process(p["pid"]).cpu_times() for p in status["processes"]}
    return {process: used.user + used.system for process, used in times.items()}


def table_of(proof: Proof, used_s: dict[str, float]) -> Table:
    title = f"{proof.reports:,} reports of usage, to the bill"
    table = Table("figure", "measured", title=title)
    table.add_row("calls billed", f"{proof.calls:,}")
    table.add_row("calls without a price at first", f"{proof.unpriced_calls:,}")
    table.add_row("the bills together", f"{usd_text(proof.nanousd)} USD")
    table.add_row("lines that differ", str(len(proof.differences)))
    table.add_row("sent", f"{proof.sent_s:.0f} s, {proof.reports / proof.sent_s:,.0f}/s")
    table.add_row("sent to billed", f"{proof.billed_s:.0f} s, {proof.reports / proof.billed_s:,.0f}/s")
    table.add_row("late price listed to billed", f"{proof.listed_late_s:.1f} s")
    for name in ("streams", "loader", "kafka", "clickhouse"):
        per_1000 = f"{used_s[name] / proof.reports * 1e6:.0f} ms" if name in used_s else "was restarted"
        table.add_row(f"processor time of {name}, per 1,000 reports", per_1000)
    return table


if __name__ == "__main__":
    sys.exit(main())
