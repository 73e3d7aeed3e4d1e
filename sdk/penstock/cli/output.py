"""What every command shares: JSON or a table on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

OUT = Console(highlight=False)
ERRORS = Console(stderr=True, highlight=False)


def complete(work: Coroutine[Any, Any, T]) -> T:
    """Run one command's work to its end."""
    for library in ("aiokafka", "clickhouse_connect"):  # the client turns what they log into one error
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return asyncio.run(work)


def print_json(value: BaseModel | dict[str, Any] | Sequence[BaseModel | dict[str, Any]]) -> None:
    """`value` as one line of JSON; bytes as base64."""
    print(json.dumps(_plain(value) if isinstance(value, BaseModel | dict) else [_plain(item) for item in value]))


def _plain(value: BaseModel | dict[str, Any]) -> dict[str, Any]:
    return as_dict(value) if isinstance(value, BaseModel) else value


def as_dict(value: BaseModel, *, exclude: set[str] | None = None) -> dict[str, Any]:
    """`value` as JSON-ready fields."""
    return value.model_dump(mode="json", exclude=exclude)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Aligned columns on standard output; those whose name begins with `>` are aligned right.

    Lines are never folded or cut: an id must stay whole in a pipe and for the mouse.
    """
    names = [column.removeprefix(">") for column in columns]
    lines = [names, *([" ".join(printable(cell).split()) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if title:
        OUT.print(Text(title, style="italic"), soft_wrap=True)
    for number, line in enumerate(lines):
        cells = []
        for cell, width, column in zip(line, widths, columns, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if column.startswith(">") else cell + space)
        OUT.print(Text("  ".join(cells).rstrip(), style="" if number else "bold"), soft_wrap=True)


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Name and value, one below the other; empty values are left out."""
    shown = [(name, value) for name, value in fields if value]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        OUT.print(
            Text(f"{name:<{width}}  ", style="bold").append(printable(value), style="not bold"), soft_wrap=True
        )


def print_text(text: str) -> None:
    """An agent's own text: as it is into a pipe, without control sequences on a terminal."""
    print(printable(text) if sys.stdout.isatty() else text)


def printable(text: str) -> str:
    """`text` without what could steer a terminal: agents and requests are not trusted."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def local_time(moment: datetime | None) -> str:
    """`moment` to the second, in the reader's time zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""
