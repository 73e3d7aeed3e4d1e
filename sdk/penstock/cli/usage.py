"""`penstock usage`: provider calls nobody reported, and reports that were wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.output import AsJson, complete, local_time, print_json, print_table
from penstock.models import Adjustment, UnresolvedCall
from penstock.money import usd_text


def register(app: typer.Typer) -> None:
    """Add the group `usage`."""
    group = typer.Typer(help="Provider calls never reported, or reported wrongly.", no_args_is_help=True)
    group.command("unresolved")(unresolved)
    group.command("settle")(settle)
    group.command("correct")(correct)
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


def correct(
    usage_id: Annotated[str, typer.Argument(metavar="USAGE", help="Of a call that was charged or quarantined.")],
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="Whose call; needed where several have that id.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it stands on the ledger line.")] = "",
    input_tokens: Annotated[
        int | None, typer.Option(help="Of the whole call; left out, as it was charged.")
    ] = None,
    output_tokens: Annotated[int | None, typer.Option(help="As above; reasoning included.")] = None,
    cache_read_tokens: Annotated[int | None, typer.Option(help="As above.")] = None,
    cache_write_tokens: Annotated[int | None, typer.Option(help="As above.")] = None,
    reasoning_tokens: Annotated[int | None, typer.Option(help="As above; inside the output tokens.")] = None,
    tool_calls: Annotated[int | None, typer.Option(help="As above.")] = None,
    sandbox_cpu_ms: Annotated[int | None, typer.Option(help="As above.")] = None,
    sandbox_gb_ms: Annotated[int | None, typer.Option(help="As above; gigabytes times milliseconds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a call truly used; the difference to what it was charged becomes a ledger line of its own."""

    async def go() -> Adjustment:
        from penstock.client import Client

        async with Client() as client:
            return await client.correct_usage(
                usage_id,
                tenant=tenant,
                reason=reason,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cache_read_tokens=cache_read_tokens,
                cache_write_tokens=cache_write_tokens,
                reasoning_tokens=reasoning_tokens,
                tool_calls=tool_calls,
                sandbox_cpu_ms=sandbox_cpu_ms,
                sandbox_gb_ms=sandbox_gb_ms,
            )

    line = complete(go())
    if as_json:
        print_json(line)
        return
    belongs = f", for {line.adjusts_period}, which is closed" if line.adjusts_period else ""
    print(f"{line.cost_usd} USD on the bill of {line.tenant_id} for {line.period}{belongs}")
