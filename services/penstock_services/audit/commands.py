"""`penstock audit`."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from penstock.errors import InvalidInput
from penstock.money import usd_text
from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_services.audit.budget_table import show_budgets
from penstock_services.audit.findings import Findings
from penstock_services.audit.gather import audit_month
from penstock_services.audit.moment import audit_budgets
from penstock_services.audit.reservations import Held
from penstock_services.audit.standing import audit_every, open_months
from penstock_services.clickhouse.client import connect
from penstock_services.logs import configure_logging

SETTLING_PAUSE_S = 0.5


def register(app: typer.Typer) -> None:
    """Add `audit` to the command line."""
    app.command("audit")(audit)


def audit(
    month: Annotated[str | None, typer.Option(help="YYYY-MM; default: the current month, UTC.")] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", help="Seconds to let charges and rows under way arrive before judging.")
    ] = 15.0,
    reservations: Annotated[
        bool,
        typer.Option(
            "--reservations",
            help="Check the budgets instead: reserved = what open runs and unresolved calls hold, "
            "spent = what was charged.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    every_s: Annotated[
        float | None,
        typer.Option(
            "--every",
            min=1,
            help="Go on for ever: the open months and the budgets, again this many seconds after the last time, "
            "for Prometheus (PENSTOCK_HEALTH_PORT).",
        ),
    ] = None,
) -> None:
    """Recount a month: Kafka = ledger = bill, to the nano-dollar.

    Usage on Kafka is priced anew, and held to the charges on Kafka, the ledger and the bills.

    Exit code 0: all equal. 1: differences, each listed. 4: a server is not reachable. 5: Kafka no longer holds the
    month.
    """
    if every_s is not None:
        if month is not None or reservations or as_json:
            raise InvalidInput("--every audits the open months and the budgets; it has no other option but --wait")
        configure_logging()
        asyncio.run(audit_every(every_s, {"months": lambda: _months(wait_s), "budgets": _budget_leaks}))
        return
    gc.disable()  # a month is millions of records, none in a cycle: looking through them doubled the time
    if reservations:
        if month is not None:
            raise InvalidInput("--reservations checks the budgets as they are now; it has no --month")
        differ = show_budgets(asyncio.run(_budgets()), as_json=as_json)
    else:
        findings = asyncio.run(_settled(_checked(month), wait_s))
        differ = bool(findings.differences)
        if as_json:
            print(json.dumps(asdict(findings)))
        else:
            _show(findings)
    if differ:
        raise typer.Exit(1)


async def _budgets() -> Held:
    async with SchemaRegistry(RegistrySettings().url) as registry:
        return await audit_budgets(KafkaSettings(), Codec(registry))


async def _budget_leaks() -> int:
    held = await _budgets()
    show_budgets(held, as_json=False)
    return len(held.leaks)


async def _months(wait_s: float) -> int:
    found = 0
    for month in open_months(datetime.now(UTC)):
        findings = await _settled(month, wait_s)
        _show(findings)
        found += len(findings.differences)
    return found


async def _settled(month: str, wait_s: float) -> Findings:
    """Audit until nothing differs or `wait_s` has passed: what is on its way is no difference yet."""
    deadline = time.monotonic() + wait_s
    clickhouse = connect(ClickHouseSettings())
    try:
        async with SchemaRegistry(RegistrySettings().url) as registry:
            while True:
                findings = await audit_month(month, KafkaSettings(), Codec(registry), clickhouse)
                if not findings.differences or time.monotonic() > deadline:
                    return findings
                await asyncio.sleep(SETTLING_PAUSE_S)
    finally:
        clickhouse.close()


def _checked(month: str | None) -> str:
    if month is None:
        return datetime.now(UTC).strftime("%Y-%m")
    try:
        return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).strftime("%Y-%m")
    except ValueError:
        raise InvalidInput(f"--month must be YYYY-MM, was {month!r}") from None


def _show(findings: Findings) -> None:
    console = Console()
    table = Table(title=f"Audit of {findings.month}", show_header=True)
    table.add_column("source")
    table.add_column("lines", justify="right")
    table.add_column("nano-USD", justify="right")
    table.add_column("USD", justify="right")
    for source, lines, amount in (
        ("usage on Kafka, recounted", findings.usage_records, findings.usage_nanousd),
        ("charges on Kafka", findings.charged_lines, findings.charged_nanousd),
        ("ledger in ClickHouse", findings.ledger_lines, findings.ledger_nanousd),
        ("bills", "", findings.billed_nanousd),
    ):
        table.add_row(source, str(lines), f"{amount:,}", usd_text(amount))
    console.print(table)
    if findings.quarantined:
        console.print(f"{findings.quarantined} reports are quarantined: on no bill until they are settled.")
    for difference in findings.differences:
        amounts = f"expected {difference.expected_nanousd}, found {difference.found_nanousd} nano-USD"
        console.print(
            f"[red]DIFFERENCE[/] {difference.tenant_id} {difference.usage_id} {difference.what}: {amounts}"
        )
    console.print("[red]The books differ.[/]" if findings.differences else "[green]All equal.[/]")
