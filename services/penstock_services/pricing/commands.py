"""`penstock prices`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from penstock.money import usd_text
from penstock_services.pricing import BUILTIN_PRICES


def register(app: typer.Typer) -> None:
    """Add the group `prices` to the command line."""
    prices = typer.Typer(help="What a token costs.", no_args_is_help=True)
    prices.command("list")(list_prices)
    app.add_typer(prices, name="prices")


def list_prices(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """The prices in force, in USD per million tokens."""
    if as_json:
        print(json.dumps([asdict(price) for price in BUILTIN_PRICES.values()]))
        return
    table = Table(Column("model", no_wrap=True), title="USD per million tokens")
    for bucket in ("input", "cache read", "cache write", "output"):
        table.add_column(bucket, justify="right")
    for price in BUILTIN_PRICES.values():
        amounts = (
            price.input_nanousd_per_mtok,
            price.cache_read_nanousd_per_mtok,
            price.cache_write_nanousd_per_mtok,
            price.output_nanousd_per_mtok,
        )
        table.add_row(price.model, *(usd_text(amount) for amount in amounts))
    Console().print(table)
