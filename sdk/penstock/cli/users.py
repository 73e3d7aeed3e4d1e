"""`penstock users`."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.output import AsJson, complete, print_json


def register(app: typer.Typer) -> None:
    """Add the group `users`."""
    group = typer.Typer(help="A tenant's users.", no_args_is_help=True)
    group.command("delete")(delete)
    group.callback()(lambda: None)  # with one command alone, typer would make the group that command
    app.add_typer(group, name="users")


def delete(
    user: Annotated[str, typer.Argument(help="The tenant's user.")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Whose user.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Forget every conversation of a user, and wait until they are gone. Executions and bills stay."""

    async def go() -> int:
        from penstock.client import Client

        async with Client() as client:
            return await client.delete_user(tenant, user)

    deleted = complete(go())
    if as_json:
        print_json({"tenant_id": tenant, "user_id": user, "conversations": deleted})
    else:
        print(f"{deleted} conversations deleted")
