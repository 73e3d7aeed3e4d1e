"""`penstock bill`."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.output import OUT, AsJson, as_dict, complete, print_json, print_table
from penstock.models import Bill


def register(app: typer.Typer) -> None:
    """Add `bill`."""
    app.command("bill")(bill)


def bill(
    tenant: Annotated[str, typer.Argument(help="Whose bill.")],
    month: Annotated[str | None, typer.Option(help="YYYY-MM, UTC; default: the current one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a tenant's bill of one month, in USD to six decimals; with --json in exact nano-USD."""

    async def go() -> Bill:
        from penstock.client import Client

        async with Client() as client:
            return await client.bill(tenant, month)

    found = complete(go())
    if as_json:
        print_json(as_dict(found) | {"total_nanousd": found.total_nanousd})
        return
    rows = [
        (
            line.model,
            f"{line.calls:,}",
            f"{line.input_tokens:,}",
            f"{line.cache_read_tokens + line.cache_write_tokens:,}",
            f"{line.output_tokens:,}",
            line.cost_usd,
        )
        for line in found.lines
    ]
    total = ("total", f"{sum(line.calls for line in found.lines):,}", "", "", "", found.total_usd)
    columns = ("model", ">calls", ">input tokens", ">cached", ">output tokens", ">USD")
    print_table(columns, [*rows, total], title=f"Bill of {found.tenant_id} for {found.period} (UTC)")
    if found.quarantined_calls:
        OUT.print(f"{found.quarantined_calls:,} more calls are on no bill yet: their price is not known.")
