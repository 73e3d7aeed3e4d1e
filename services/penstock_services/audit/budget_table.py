"""What `penstock audit --reservations` prints."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock_services.audit.reservations import Held


def show_budgets(held: Held, *, as_json: bool) -> bool:
    """Print the outcome; returns whether anything differs."""
    if as_json:
        print(json.dumps(asdict(held)))
        return bool(held.leaks)
    console = Console()
    table = Table("checked", title="Audit of the budgets")
    table.add_column("count", justify="right")
    table.add_row("budgets", f"{held.budgets:,}")
    table.add_row("open reservations and unresolved calls", f"{held.reservations:,}")
    table.add_row("charges", f"{held.charges:,}")
    console.print(table)
    if held.unchecked:
        console.print(
            f"{held.unchecked} budgets were last charged in a month Kafka no longer holds; what they spent then "
            "was not recounted."
        )
    for leak in held.leaks:
        user = "" if leak.user_id is None else f" user {escape(repr(leak.user_id))}"
        period = f" in {leak.period}" if leak.period else ""
        found = "no budget" if leak.found is None else leak.found
        console.print(
            f"[red]DIFFERENCE[/] {escape(leak.tenant_id)}{user}: {leak.sum} {leak.unit}{period}: "
            f"expected {leak.expected}, found {found}"
        )
    console.print("[red]The budgets differ.[/]" if held.leaks else "[green]All equal.[/]")
    return bool(held.leaks)
