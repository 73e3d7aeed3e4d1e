"""`penstock close`, in this order:

1. All partitions of accounts close the month at once, or none. A crash after this leaves it closed and nobody
   told.
2. Its ledger is compacted and its bills are summed up, so that they are read faster. A crash before or in this
   leaves bills as slow as they were; `penstock clickhouse compact` does it again.
"""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.output import ERRORS, OUT, complete, print_json
from penstock.errors import ClickHouseUnreachable, NotConfirmed
from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse.client import connect
from penstock_services.clickhouse.compacting import await_closed, compact
from penstock_services.clickhouse.summing import sum_up


def register(app: typer.Typer) -> None:
    """Add `close` to the command line."""
    app.command("close")(close)


def close(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM, UTC; it must be over.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Seal a month and every earlier one: their bills are final.

    What comes later and belongs to it is on the first open month's bill, as an adjustment.
    """

    async def go() -> int:
        from penstock.client import Client

        async with Client() as client:
            return await client.close_period(month)

    partitions = complete(go())
    compacted = _compacted(month, partitions)
    if as_json:
        print_json({"period": month, "partitions": partitions, "compacted": compacted})
    else:
        OUT.print(f"{month} is closed, and so is every earlier month", markup=False)


def _compacted(month: str, partitions: int) -> list[str] | None:
    settings = ClickHouseSettings()
    try:
        client = connect(settings)
        try:
            await_closed(client, month, partitions)
            compacted = compact(client, settings)
            sum_up(client, settings)
            return compacted
        finally:
            client.close()
    except (ClickHouseUnreachable, NotConfirmed) as exc:
        ERRORS.print(f"not compacted: {exc}; later: penstock clickhouse compact", soft_wrap=True, markup=False)
        return None
