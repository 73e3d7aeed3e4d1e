"""Every panel of the dashboards that asks ClickHouse, on a month of a million executions.

    python bench/dashboards.py [--rounds 5] [--executions 1000000]

The tables are filled inside ClickHouse (the embedded engine, a folder of its own): ten ledger lines an execution,
in several parts, of fifty tenants, since the first of this month. A tenth of the executions are stages of
pipelines, a fifth answer in conversations; some are lost, fail, or are rejected. Panels are asked as Grafana asks
them, of all tenants: about its six hours, and about the whole month. Last, how long each roll-up takes to be made.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from servers import start_clickhouse

from penstock.agents.context import SANDBOX_MODEL
from penstock_services.clickhouse import connect, migrate
from penstock_services.dashboards import Span, as_sent, grafana_pages

PARTS = 5
LINES = 10
"""Of the ledger, an execution."""
ROLL_UPS = ("spend_hourly_refresh", "executions_hourly_refresh", "spend_origins_refresh")
TARGET_MS = 300
WITH = """
    WITH
        toStartOfMonth(now('UTC')) AS month,
        number + {first:UInt64} AS n,
        concat('tenant-', toString(intDiv(n, 100) % 50)) AS tenant,
        lower(hex(MD5(toString(n)))) AS id,
        toUInt64(dateDiff('second', toDateTime(month, 'UTC'), now('UTC'))) * 1000000 / {all:UInt64} AS apart_us,
        toDateTime64(month, 6, 'UTC') + toIntervalMicrosecond(toUInt64(n * apart_us)) AS at
"""
"""Execution `n` of `all`, in the order of time."""
ENDINGS = """multiIf(n % 100 = 0, 'ExecutionRejected', n % 25 = 1, 'ExecutionFailed',
    n % 100 = 2, 'ExecutionTimedOut', n % 100 = 3, 'ExecutionCancelled', 'ExecutionCompleted')"""
FILLS = (
    f"""
    INSERT INTO executions_events (tenant_id, execution_id, event_id, record_type, occurred_at, agent_type, tier,
        epoch, worker_id, reason, error_type, error_message, kafka_offset, kafka_timestamp)
    {WITH}, {ENDINGS} AS ending,
        multiIf(ending = 'ExecutionRejected', [ending],
            n % 100 = 4, ['ExecutionAdmitted', 'AttemptStarted', 'AttemptLost', 'AttemptStarted', ending],
            ['ExecutionAdmitted', 'AttemptStarted', ending]) AS types
    SELECT tenant, id, lower(hex(MD5(concat(id, toString(place))))), type,
        at + toIntervalMillisecond(place * (n % 5000)), concat('agent-', toString(n % 8)), 'pro', intDiv(place, 2),
        concat('worker-', toString(n % 200)), if(type = 'ExecutionRejected', 'budget_exceeded', ''),
        if(type = 'ExecutionFailed', if(n % 2, 'CommandTimedOut', 'Boom'), ''),
        if(type = 'ExecutionFailed', concat('it broke ', toString(n)), ''), n * 5 + place, at
    FROM numbers({{count:UInt64}}) ARRAY JOIN types AS type, arrayEnumerate(types) AS place
    """,
    f"""
    INSERT INTO ledger (tenant_id, line_id, usage_id, period, occurred_at, execution_id, epoch, call_seq, user_id,
        agent_type, pipeline_id, conversation_id, model, input_tokens, output_tokens, cost_nanousd, price_version,
        usage_offset, kafka_offset, kafka_timestamp, wasted)
    {WITH}
    SELECT tenant, lower(hex(MD5(concat('line', id, toString(call))))),
        lower(hex(MD5(concat('usage', id, toString(call))))), formatDateTime(at, '%Y-%m'),
        at + toIntervalSecond(call), id, 1, call, concat('user-', toString(n % 1000)),
        concat('agent-', toString(n % 8)),
        if(n % 10 = 5, lower(hex(MD5(concat('p', toString(intDiv(n, 50)))))), NULL),
        if(n % 5 = 1, lower(hex(MD5(concat('c', toString(intDiv(n, 100)))))), NULL),
        if(call = 9 AND n % 10 = 0, '{SANDBOX_MODEL}', concat('model-', toString((n + call) % 12))),
        n % 3000, n % 700, (n * 7919 % 10000000) * (1 + n % 50 % 7 + n % 3), 'builtin-1', n, n, at, n % 500 = 0
    FROM numbers({{count:UInt64}}) ARRAY JOIN range({LINES}) AS call
    """,
    f"""
    INSERT INTO pipelines_events (tenant_id, user_id, pipeline_id, event_id, record_type, occurred_at, epoch,
        stages, stage_index, stage_name, agent_type, execution_id, used_tokens, kafka_offset, kafka_timestamp)
    {WITH}, intDiv(n, 50) AS pipeline, intDiv(n, 10) % 5 AS stage,
        arrayFilter(
            type -> (type != 'PipelineStarted' OR stage = 0) AND (type != 'PipelineCompleted' OR stage = 4),
            ['PipelineStarted', 'StageStarted', 'StageCompleted', 'PipelineCompleted']) AS types
    SELECT tenant, 'ann', lower(hex(MD5(concat('p', toString(pipeline))))),
        lower(hex(MD5(concat('p', id, type)))), type, at + toIntervalSecond(place), 1, 5, stage,
        concat('Stage ', toString(stage)), concat('agent-', toString(n % 8)), id, 100, n * 4 + place, at
    FROM numbers({{count:UInt64}}) ARRAY JOIN types AS type, arrayEnumerate(types) AS place WHERE n % 10 = 5
    """,
    f"""
    INSERT INTO conversations_events (tenant_id, user_id, conversation_id, event_id, record_type, occurred_at,
        agent_type, turn_number, role, status, error_type, total_tokens, execution_id, kafka_offset,
        kafka_timestamp)
    {WITH}, intDiv(n, 100) AS talk,
        arrayFilter(type -> type != 'ConversationStarted' OR n % 100 = 1,
            ['ConversationStarted', 'TurnStarted', if(n % 25 = 1, 'TurnFailed', 'TurnAppended')]) AS types
    SELECT tenant, 'ann', lower(hex(MD5(concat('c', toString(talk))))),
        lower(hex(MD5(concat('c', id, type)))), type, at + toIntervalSecond(place),
        concat('agent-', toString(talk % 8)), n % 100, 'assistant', 'failed', if(type = 'TurnFailed', 'Boom',
        ''), n % 100 * 50, id, n * 3 + place, at
    FROM numbers({{count:UInt64}}) ARRAY JOIN types AS type, arrayEnumerate(types) AS place WHERE n % 5 = 1
    """,
    f"""
    INSERT INTO accounts_events (tenant_id, event_id, record_type, occurred_at, tier, monthly_nanousd, period,
        unit, percent, usage_id, execution_id, agent_type, model, reserved_tokens, wasted_tokens,
        wasted_nanousd, kafka_offset)
    {WITH}
    SELECT tenant, concat(id, type), type, at, 'pro', {{all:UInt64}} * 10000000 * (1 + intDiv(n, 100) % 5),
        formatDateTime(at, '%Y-%m'), 'nanousd', 80,
        if(type != 'UsageUnresolved', '',
            if(n % 5000 != 0, lower(hex(MD5(concat('usage', id, '1')))), concat('lost-', id))),
        id, concat('agent-', toString(n % 8)), 'model-1', 100, 200, 3000, n
    FROM numbers({{count:UInt64}})
    ARRAY JOIN arrayConcat(if(n < 5000 AND n % 100 = 0, ['TenantConfigured'], []),
        if(n % 1000 = 7, ['BudgetThresholdReached'], []), if(n % 1000 = 0, ['UsageUnresolved'], []),
        if(n % 50 = 4, ['SpendWasted'], [])) AS type
    """,
    f"""
    INSERT INTO usage_quarantine (tenant_id, event_id, usage_id, period, reason, model)
    {WITH}
    SELECT tenant, id, if(n % 5000 != 0, concat('new-', id), lower(hex(MD5(concat('usage', id, '1'))))),
        formatDateTime(at, '%Y-%m'), 'unknown_model', 'new'
    FROM numbers({{count:UInt64}}) WHERE n % 1000 = 0
    """,
    f"""
    INSERT INTO dead_letters (tenant_id, event_id, occurred_at, stage, error_code, source_topic, source_offset,
        error_message)
    {WITH}
    SELECT tenant, id, at, 'accounts', 'bad_payload', 'penstock.accounts.requests.v1', n, 'it is cut off'
    FROM numbers({{count:UInt64}}) WHERE n % 1000 = 0
    """,
)
TABLES = ("executions_events", "ledger", "pipelines_events", "conversations_events", "accounts_events")


def fill(client: Any, executions: int) -> None:
    """The month, in `PARTS` parts that are not merged."""
    for table in TABLES:
        client.command(f"SYSTEM STOP MERGES {table}")
    count = executions // PARTS
    whole = {"max_insert_block_size": count * LINES, "min_insert_block_size_rows": count * LINES}
    for part in range(PARTS):
        for query in FILLS:
            client.command(query, {"first": part * count, "count": count, "all": executions}, settings=whole)


def refresh_ms(client: Any, view: str) -> float:
    """Milliseconds to make a roll-up anew."""
    began = time.perf_counter()
    client.command(f"SYSTEM REFRESH VIEW {view}")
    client.command(f"SYSTEM WAIT VIEW {view}")
    return (time.perf_counter() - began) * 1000


def median_ms(client: Any, sql: str, rounds: int) -> float:
    """Milliseconds from asking to the whole answer."""
    took: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        client.query(sql)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def figures(client: Any, rounds: int, executions: int) -> Table:
    fill(client, executions)
    refreshes = {view: refresh_ms(client, view) for view in ROLL_UPS}
    rows = {table: f"{client.command(f'SELECT count() FROM {table}'):,}" for table in TABLES}
    now = datetime.now(UTC)
    spans = (
        Span(now - timedelta(hours=6), now, step_s=60),
        Span(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), now, step_s=3600),
    )
    title = f"Panels, medians of {rounds} rounds; rows: {', '.join(f'{name} {n}' for name, n in rows.items())}"
    table = Table("page", "panel", "6 hours, ms", "the month, ms", title=title)
    slowest = (0.0, 0.0)
    for page in grafana_pages():
        for panel in page.panels:
            if panel.sql is None:
                continue
            short, long = (median_ms(client, as_sent(panel.sql, span), rounds) for span in spans)
            assert client.query(as_sent(panel.sql, spans[1])).result_rows, panel.title
            print(f"{panel.title}: {short:,.0f} ms, {long:,.0f} ms", file=sys.stderr, flush=True)
            slowest = (max(slowest[0], short), max(slowest[1], long))
            table.add_row(page.title, panel.title, f"{short:,.0f}", f"{long:,.0f}")
    table.add_section()
    table.add_row("", f"slowest (target ≤ {TARGET_MS})", f"{slowest[0]:,.0f}", f"{slowest[1]:,.0f}")
    table.add_section()
    for view, took_ms in refreshes.items():
        table.add_row("", f"{view}, once", "", f"{took_ms:,.0f}")
    return table


async def measure(rounds: int, executions: int) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as engine:
            clickhouse = await start_clickhouse(engine, Path(folder))
            await asyncio.to_thread(migrate, clickhouse)
            with connect(clickhouse) as client:
                return await asyncio.to_thread(figures, client, rounds, executions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--executions", type=int, default=1_000_000)
    arguments = parser.parse_args()
    Console(width=140).print(asyncio.run(measure(arguments.rounds, arguments.executions)))
