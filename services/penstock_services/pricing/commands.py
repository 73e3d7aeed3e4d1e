"""`penstock prices`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.output import ERRORS, OUT, AsJson, complete, print_json, print_table
from penstock.errors import InvalidInput, NotFound
from penstock.models import Price as ListedPrice
from penstock.money import exact_usd_text
from penstock_schemas.prices import AMOUNTS

if TYPE_CHECKING:
    from penstock.money_arguments import PriceArguments
    from penstock_services.pricing.effective import SourcedPrice


def register(app: typer.Typer) -> None:
    """Add the group `prices` to the command line."""
    prices = typer.Typer(help="What a token costs.", no_args_is_help=True)
    prices.command("set")(set_price)
    prices.command("import")(import_prices)
    prices.command("list")(list_prices)
    app.add_typer(prices, name="prices")


def set_price(
    model: Annotated[str, typer.Argument(help="As usage names it, or its canonical name for all of its names.")],
    input_per_mtok: Annotated[str, typer.Option(metavar="USD", help="Per million uncached input tokens.")],
    output_per_mtok: Annotated[str, typer.Option(metavar="USD", help="Per million output tokens.")],
    cache_read: Annotated[
        str | None, typer.Option(metavar="USD", help="Per million tokens; default: as input.")
    ] = None,
    cache_write: Annotated[
        str | None, typer.Option(metavar="USD", help="Per million tokens; default: as input.")
    ] = None,
    per_tool_call: Annotated[str, typer.Option(metavar="USD")] = "0",
    per_cpu_second: Annotated[str, typer.Option(metavar="USD", help="Of CPU time in the sandbox.")] = "0",
    per_gb_second: Annotated[str, typer.Option(metavar="USD", help="Of memory in the sandbox.")] = "0",
    effective: Annotated[
        str | None, typer.Option(metavar="DATE", help="YYYY-MM-DD or ISO 8601 time, UTC; default: now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List a price, and wait until everything is charged at it. Amounts are USD, exact to nine decimals."""
    from penstock.money_arguments import checked_price
    from penstock_services.pricing.price_file import moment
    from penstock_services.pricing.published import published_prices

    try:
        since = datetime.now(UTC) if effective is None else moment(effective)
    except InvalidInput as exc:
        raise InvalidInput(f"--effective {exc}") from exc
    price = checked_price(
        model=model,
        input_per_mtok=input_per_mtok,
        output_per_mtok=output_per_mtok,
        cache_read=cache_read,
        cache_write=cache_write,
        per_tool_call=per_tool_call,
        per_cpu_second=per_cpu_second,
        per_gb_second=per_gb_second,
        effective=since,
    )
    listed = complete(_list([price]))
    if as_json:
        print_json(listed[0])
        return
    OUT.print(f"{listed[0].version} is in force", soft_wrap=True, markup=False)
    if (canonical := published_prices().canonical(model)) != model:
        ERRORS.print(
            f"Only for usage reported as {model!r}; a price of {canonical!r} is for all names of the model.",
            soft_wrap=True,
            markup=False,
        )


def import_prices(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or a JSON array of objects.")],
    as_json: AsJson = False,
) -> None:
    """List every price of a file, all or none, and wait until everything is charged at them."""
    from penstock_services.pricing.price_file import read_prices

    listed = complete(_list(read_prices(file, datetime.now(UTC))))
    if as_json:
        print_json(listed)
        return
    OUT.print(f"{len(listed):,} prices are listed", markup=False)


def list_prices(
    at: Annotated[
        str | None, typer.Option("--at", metavar="DATE", help="YYYY-MM-DD or ISO 8601 time, UTC; default: now.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this one, by any of its names.")] = None,
    offline: Annotated[bool, typer.Option("--published", help="Only prices that need no operator.")] = False,
    as_json: AsJson = False,
) -> None:
    """The prices in force, in USD, and where each comes from: operator, builtin or genai-prices."""
    from penstock_services.pricing.effective import in_force
    from penstock_services.pricing.price_file import moment

    try:
        moment_us = int((datetime.now(UTC) if at is None else moment(at)).timestamp() * 1_000_000)
    except InvalidInput as exc:
        raise InvalidInput(f"--at {exc}") from exc
    found = in_force([] if offline else complete(_operators()), moment_us, model)
    if model is not None and not found:
        raise NotFound(f"model {model!r} had no price at that time; see: penstock prices set --help")
    if as_json:
        print_json([asdict(entry.price) | {"source": entry.source} for entry in found])
        return
    print_table(
        ("model", ">input", ">cache read", ">cache write", ">output", "source", "price version", "besides"),
        [_row(entry) for entry in found],
        title="USD per million tokens",
    )


def _row(entry: SourcedPrice) -> Sequence[str]:
    price = entry.price
    besides = [
        f"{exact_usd_text(amount)} per {unit}"
        for amount, unit in (
            (price.tool_call_nanousd, "tool call"),
            (price.cpu_second_nanousd, "CPU-second"),
            (price.gb_second_nanousd, "GB-second"),
        )
        if amount
    ]
    besides += [f"other rates above {tier.above_input_tokens:,} input tokens" for tier in price.tiers]
    amounts = [exact_usd_text(getattr(price, name)) for name in AMOUNTS[:4]]
    return (price.model, *amounts, entry.source, price.version, ", ".join(besides))


async def _list(prices: Sequence[PriceArguments]) -> Sequence[ListedPrice]:
    from penstock.client import Client

    async with Client() as client:
        return await client.set_prices(prices)


async def _operators() -> Sequence[ListedPrice]:
    from penstock.client import Client

    async with Client() as client:
        return await client.prices()
