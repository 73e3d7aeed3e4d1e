"""`penstock clickhouse access` and `check-access`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table

from penstock.errors import InvalidInput
from penstock.settings import ClickHouseSettings
from penstock_services.access.clickhouse_check import check
from penstock_services.access.clickhouse_roles import TENANT_PREFIX, TENANT_ROLE, USERS, files, roles_of
from penstock_services.access.clickhouse_schema import schema_of
from penstock_services.clickhouse.client import connect, unreachable
from penstock_services.clickhouse.migrate import packaged_migrations


def add_access_commands(group: typer.Typer) -> None:
    """Add both to the group `clickhouse`."""
    group.command("access")(access_command)
    group.command("check-access")(check_command)


def access_command(
    folder: Annotated[Path | None, typer.Option(help="Write numbered files there instead of printing.")] = None,
) -> None:
    """Print the SQL of users, roles, row policies and quotas for PENSTOCK_CLICKHOUSE_DATABASE; asks no server."""
    made = files(schema_of(packaged_migrations()), ClickHouseSettings().database)
    for name, text in made.items():
        if folder is None:
            print(f"-- {name}\n{text}")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def check_command(
    role: Annotated[
        str | None, typer.Option(help="The role the user should have; default: by the user's name.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Log in as PENSTOCK_CLICKHOUSE_USER and try everything: what its role may do works, and the rest is refused.

    Changes nothing. For a tenant's user, also looks for rows of other tenants. Exit code 1 where a try went
    otherwise than it should; run it once for each user.
    """
    settings = ClickHouseSettings()
    asked = role or (TENANT_ROLE if settings.user.startswith(TENANT_PREFIX) else settings.user)
    if asked not in USERS:
        raise InvalidInput(f"role {asked!r}: there is no such role; the roles are {', '.join(USERS)}")
    schema = schema_of(packaged_migrations())
    client = connect(settings)
    try:
        cells = check(client, schema, roles_of(schema), asked, settings.user)
    except (ClickHouseError, OSError) as exc:
        raise unreachable(settings, exc) from exc
    finally:
        client.close()
    wrong = [cell for cell in cells if not cell.holds]
    if as_json:
        print(json.dumps([{**asdict(cell), "holds": cell.holds} for cell in cells]))
    else:
        if wrong:
            table = Table("tried", "on", "should be", "was", "because")
            for cell in wrong:
                words = ["allowed" if it else "refused" for it in (cell.expected, cell.found)]
                table.add_row(cell.operation, cell.name, *words, cell.detail)
            Console().print(table)
        print(f"{settings.user} as {asked}: {len(cells) - len(wrong)} of {len(cells)} tries went as they should")
    if wrong:
        raise typer.Exit(1)
