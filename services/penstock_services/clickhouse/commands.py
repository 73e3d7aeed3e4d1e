"""`penstock clickhouse`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse.migrate import migrate


def register(app: typer.Typer) -> None:
    """Add the group `clickhouse` to the command line."""
    group = typer.Typer(help="The ClickHouse schema.", no_args_is_help=True)
    group.callback()(lambda: None)  # keeps `migrate` a sub-command while it is the only one
    group.command("migrate")(migrate_command)
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
