"""A tenant's monthly bill from millions of ledger rows, and what a dashboard asks.

    python bench/bills.py [--rounds 5] [--rows 10000000] [--origins]

The ledger is filled inside ClickHouse (the embedded engine, a folder of its own): one tenant with all the rows in
several parts, a tenth of them inserted twice, beside nine smaller tenants. Some lines are late, corrections or
waste, and some usage is on no bill. The bill is the command line's, with all its sections, in an open month; then
the month is compacted and summed up, as closing it does. The roll-up is what the engine made of it all.

With `--origins` a quarter of the lines is for pipelines and another for conversations, 25 lines each. The
bill is also read with all of them named, as a spreadsheet gets it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from servers import start_clickhouse

from penstock.cli.bill import DEAREST_SHOWN
from penstock.client import Client
from penstock.settings import ClickHouseSettings
from penstock.statements import Bill
from penstock_services.clickhouse import connect, migrate
from penstock_services.clickhouse.compacting import compact
from penstock_services.clickhouse.summing import sum_up

PARTS = 5
FILL = """
    INSERT INTO ledger (tenant_id, line_id, usage_id, period, occurred_at, execution_id, epoch, call_seq, user_id,
        agent_type, pipeline_id, conversation_id, model, input_tokens, output_tokens, cost_nanousd, price_version,
        usage_topic, usage_partition, usage_offset, kafka_topic, kafka_partition, kafka_offset, kafka_timestamp)
    WITH
        number + {first:UInt64} AS n,
        (of, id) -> if({origins:Bool} AND n % 4 = of, toString(reinterpretAsUUID(MD5(id))), NULL) AS origin,
        formatDateTime(now('UTC'), '%Y-%m') AS month
    SELECT {tenant:String}, lower(hex(MD5(concat({tenant:String}, toString(n))))), lower(hex(MD5(toString(n)))),
        month,
        toDateTime64(toStartOfMonth(now('UTC')), 6, 'UTC') + toIntervalMicrosecond(n * 200000),
        lower(hex(MD5(toString(intDiv(n, 5))))), 1, n % 5, concat('user-', toString(n % 1000)),
        concat('agent-', toString(n % 8)),
        origin(0, concat('p', toString(intDiv(n, 100)))), origin(1, concat('c', toString(intDiv(n, 100)))),
        concat('model-', toString(n % 12)), n % 3000, n % 700, n % 100000000,
        'builtin-1', 'penstock.accounts.commands.v1', n % 12, n, 'penstock.accounts.events.v1', n % 12, n, now64(3)
    FROM numbers({count:UInt64})
    SETTINGS max_insert_block_size = {count:UInt64}, min_insert_block_size_rows = {count:UInt64},
        min_insert_block_size_bytes = 0
"""
MARKED = """
    INSERT INTO ledger (tenant_id, line_id, record_type, usage_id, period, adjusts_period, occurred_at, wasted,
        model, cost_nanousd)
    SELECT 'big', concat('marked-', toString(number)), if(number % 2, 'UsageCharged', 'ChargeAdjusted'),
        lower(hex(MD5(toString(number)))), formatDateTime(now('UTC'), '%Y-%m'),
        if(number % 3, NULL, '2026-01'), now64(6), number % 5 = 0, 'model-1', if(number % 2, 1, -1)
    FROM numbers({count:UInt64})
"""
"""Late calls, corrections, waste."""
QUARANTINED = """
    INSERT INTO usage_quarantine (tenant_id, event_id, usage_id, period, reason)
    SELECT 'big', toString(number), if(number % 5, toString(number), lower(hex(MD5(toString(number * 1000))))),
        formatDateTime(now('UTC'), '%Y-%m'), 'unknown_model'
    FROM numbers({count:UInt64})
"""
"""A fifth of it charged by now."""
UNRESOLVED = """
    INSERT INTO accounts_events (tenant_id, event_id, record_type, usage_id, occurred_at, kafka_timestamp)
    SELECT 'big', toString(number), 'UsageUnresolved',
        if(number % 5, concat('lost-', toString(number)), lower(hex(MD5(toString(number * 1000))))),
        now64(6), now64(3)
    FROM numbers({count:UInt64})
"""
CLOSED = """
    INSERT INTO accounts_events (tenant_id, event_id, record_type, period, partition, occurred_at, kafka_timestamp)
    SELECT 'system', 'closing', 'PeriodClosed', formatDateTime(now('UTC'), '%Y-%m'), 0, now64(6), now64(3)
"""
DASHBOARD = """
    SELECT toDate(hour) AS day, model, sum(cost_nanousd) AS cost_nanousd FROM v_spend_hourly
    WHERE tenant_id = 'big' GROUP BY day, model ORDER BY day, model
"""


def fill(client: Any, rows: int, origins: bool) -> None:
    """Ten tenants; the big one in `PARTS` parts, and a tenth of it once more."""
    client.command("SYSTEM STOP MERGES ledger")

    def insert(tenant: str, first: int, count: int) -> None:
        client.command(
            FILL, parameters={"tenant": tenant, "first": first, "count": count, "origins": int(origins)}
        )

    for part in range(PARTS):
        insert("big", part * rows // PARTS, rows // PARTS)
        for number in range(9):
            insert(f"small-{number}", part * rows // 1_000, rows // 1_000)
    insert("big", 0, rows // 10)
    for query, count in ((MARKED, rows // 1_000), (QUARANTINED, 100), (UNRESOLVED, 100)):
        client.command(query, parameters={"count": count})


def bill_s(settings: ClickHouseSettings, rounds: int, dearest: int | None = DEAREST_SHOWN) -> tuple[float, Bill]:
    """Seconds from asking for the whole bill of `big` to having it, all sections; and the bill."""

    async def go() -> tuple[float, Bill]:
        took: list[float] = []
        async with Client(clickhouse=settings, answer_within_s=60) as client:
            for _ in range(rounds):
                began = time.perf_counter()
                bill = await client.bill("big", dearest=dearest)
                took.append(time.perf_counter() - began)
        return statistics.median(took), bill

    return asyncio.run(go())


def median_s(client: Any, query: str, rounds: int) -> float:
    """Seconds from asking to the whole answer."""
    took: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        assert client.query(query).result_rows
        took.append(time.perf_counter() - began)
    return statistics.median(took)


async def measure(rounds: int, rows: int, origins: bool) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as engine:
            clickhouse = await start_clickhouse(engine, Path(folder))
            await asyncio.to_thread(migrate, clickhouse)
            with connect(clickhouse) as client:
                return await asyncio.to_thread(figures, clickhouse, client, rounds, rows, origins)


def figures(settings: ClickHouseSettings, client: Any, rounds: int, rows: int, origins: bool) -> Table:
    fill(client, rows, origins)
    open_s, before = bill_s(settings, rounds)
    assert before.total.calls == rows + rows // 2_000  # what was inserted twice counts once
    assert (before.quarantined_calls, before.unresolved.calls) == (80, 80)
    complete_s, complete = bill_s(settings, rounds, dearest=None)
    for name, more in before.more.items():
        assert len(complete.by[name]) == more + len(before.by[name]) == (rows // 100 if origins else 0)
    began = time.perf_counter()
    client.command("SYSTEM REFRESH VIEW spend_hourly_refresh")
    client.command("SYSTEM WAIT VIEW spend_hourly_refresh")
    refresh_s, dashboard_s = time.perf_counter() - began, median_s(client, DASHBOARD, rounds)
    client.command("SYSTEM START MERGES ledger")
    client.command(CLOSED)
    began = time.perf_counter()
    compact(client, settings)
    compact_s, (unsummed_s, _) = time.perf_counter() - began, bill_s(settings, rounds)
    began = time.perf_counter()
    sum_up(client, settings)
    sum_up_s, (closed_s, after) = time.perf_counter() - began, bill_s(settings, rounds)
    assert after.closed_at is not None
    assert after.model_copy(update={"closed_at": None}) == before
    table = Table("figure", "measured", "target", title=f"A bill of {rows:,} lines, medians of {rounds} rounds")
    table.add_row(f"open month, {PARTS + 1} parts", f"{open_s * 1000:,.0f} ms", "≤ 2,500 ms")
    named = sum(len(complete.by[name]) for name in complete.more)
    table.add_row(f"the same, {named:,} origins named", f"{complete_s * 1000:,.0f} ms", "")
    table.add_row("closed month, one part", f"{unsummed_s * 1000:,.0f} ms", "")
    table.add_row("the same, summed up", f"{closed_s * 1000:,.0f} ms", "≤ 300 ms")
    table.add_row("closing: merging into one part; summing up", f"{compact_s:.1f} s; {sum_up_s:.1f} s", "")
    table.add_row("dashboard from the roll-up", f"{dashboard_s * 1000:,.0f} ms", "≤ 20 ms")
    table.add_row("making the roll-up anew", f"{refresh_s * 1000:,.0f} ms", "each minute")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--origins", action="store_true")
    arguments = parser.parse_args()
    Console().print(asyncio.run(measure(arguments.rounds, arguments.rows, arguments.origins)))
