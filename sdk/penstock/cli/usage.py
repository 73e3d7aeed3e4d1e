"""`penstock usage`: provider calls nobody reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.output import AsJson, complete, local_time, print_json, print_table
from penstock.models import UnresolvedCall
from penstock.money import usd_text


def register(app: typer.Typer) -> None:
    """Add the group `usage`."""
    group = typer.Typer(help="Provider calls that were started and never reported.", no_args_is_help=True)
    group.command("unresolved")(unresolved)
    group.command("settle")(settle)
    app.add_typer(group, name="usage")


def unresolved(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Of this tenant only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the calls whose report was lost with their worker; what they may have cost stays reserved."""

    async def go() -> Sequence[UnresolvedCall]:
        from penstock.client import Client

        async with Client() as client:
            return await client.unresolved_calls(tenant)

    calls = complete(go())
    if as_json:
        print_json(calls)
        return
    rows = [
        (
            call.usage_id,
            call.tenant_id,
            call.model,
            f"{call.reserved_tokens:,}",
            usd_text(call.reserved_nanousd),
            local_time(call.occurred_at),
        )
        for call in calls
    ]
    print_table(("usage", "tenant", "model", ">tokens kept", ">USD kept", "since"), rows)


def settle(
    usage_id: Annotated[str, typer.Argument(metavar="USAGE", help="From `penstock usage unresolved`.")],
    input_tokens: Annotated[int, typer.Option(help="As the provider bills them; 0 where it bills nothing.")],
    output_tokens: Annotated[int, typer.Option(help="As above.")],
    cache_read_tokens: Annotated[int, typer.Option(help="Input read from the provider's cache.")] = 0,
    cache_write_tokens: Annotated[int, typer.Option(help="Input written to the provider's cache.")] = 0,
) -> None:
    """Charge an unresolved call for what the provider says it used, and release what was kept for it."""

    async def go() -> UnresolvedCall:
        from penstock.client import Client

        async with Client() as client:
            return await client.settle_call(
                usage_id,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cache_read_tokens=cache_read_tokens,
                cache_write_tokens=cache_write_tokens,
            )

    call = complete(go())
    print(f"settled: {call.usage_id} of {call.tenant_id}")
