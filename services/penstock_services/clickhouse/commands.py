"""`penstock clickhouse`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from penstock.settings import ClickHouseSettings
from penstock_services.access.clickhouse_commands import add_access_commands
from penstock_services.clickhouse.client import connect
from penstock_services.clickhouse.compacting import compact
from penstock_services.clickhouse.migrate import migrate
from penstock_services.clickhouse.summing import sum_up


def register(app: typer.Typer) -> None:
    """Add the group `clickhouse` to the command line."""
    group = typer.Typer(help="The ClickHouse schema and its upkeep.", no_args_is_help=True)
    group.command("migrate")(migrate_command)
    group.command("compact")(compact_command)
    add_access_commands(group)
    app.add_typer(group, name="clickhouse")


def migrate_command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Create or update tables and views; does nothing where they are up to date."""
    settings = ClickHouseSettings()
    applied = migrate(settings)
    if as_json:
        print(json.dumps({"database": settings.database, "applied": applied}))
    elif applied:
        print(f"{settings.database}: applied {', '.join(applied)}")
    else:
        print(f"{settings.database}: up to date")


def compact_command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Merge the ledger of closed months and sum up its bills, for faster reads; `penstock close` does, too."""
    settings = ClickHouseSettings()
    client = connect(settings)
    try:
        months = compact(client, settings)
        summed = sum_up(client, settings)
    finally:
        client.close()
    if as_json:
        print(json.dumps({"database": settings.database, "compacted": months, "summed_up": summed}))
    else:
        print(f"{settings.database}: compacted {', '.join(months) or 'nothing: there was nothing to merge'}")
        print(f"{settings.database}: summed up {', '.join(summed) or 'nothing: there is nothing new'}")
