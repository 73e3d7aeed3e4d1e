"""Prices from a file, CSV or JSON: all of them, or one error that names the line and the column."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from penstock.errors import InvalidInput
from penstock.money_arguments import PriceArguments, checked_price
from penstock_schemas.prices import MAX_PRICES_AT_ONCE

REQUIRED = ("model", "input_per_mtok", "output_per_mtok")
COLUMNS = (*REQUIRED, "cache_read", "cache_write", "per_tool_call", "per_cpu_second", "per_gb_second", "effective")
Row = tuple[int, Mapping[str, Any]]
"""The line it begins on, and its values by column."""


def read_prices(path: Path, now: datetime) -> list[PriceArguments]:
    """Every price of a file; a row without `effective` is effective `now`.

    Raises:
        InvalidInput: the file cannot be read, or a row of it; or two rows are about the same model and moment.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path} cannot be read as UTF-8 text: {exc}") from exc
    rows = {".csv": _csv_rows, ".json": _json_rows}.get(path.suffix.lower())
    if rows is None:
        raise InvalidInput(f"{path}: the name must end in .csv or .json")
    prices: dict[tuple[str, datetime], tuple[int, PriceArguments]] = {}
    for line, row in rows(path, text):
        price = _price(path, line, row, now)
        earlier = prices.setdefault((price.model, price.effective), (line, price))
        if earlier[0] != line:
            how = "repeats" if earlier[1] == price else "overlaps"
            moment = price.effective.isoformat()
            raise InvalidInput(f"{path}, line {line}: {how} line {earlier[0]}: {price.model} from {moment}")
    if not 1 <= len(prices) <= MAX_PRICES_AT_ONCE:
        raise InvalidInput(f"{path} has {len(prices):,} prices; 1 to {MAX_PRICES_AT_ONCE:,} can be listed at once")
    return [price for _, price in prices.values()]


def moment(text: str) -> datetime:
    """A date (its midnight) or a time in ISO 8601; UTC where it names no zone.

    Raises:
        InvalidInput: it is neither.
    """
    try:
        if len(text) == len("YYYY-MM-DD"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is no date: give YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ (UTC)") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _price(path: Path, line: int, row: Mapping[str, Any], now: datetime) -> PriceArguments:
    given = {name: value for name, value in row.items() if value not in ("", None)}
    for name in REQUIRED:
        if name not in given:
            raise InvalidInput(f"{path}, line {line}, column {name}: is missing")
    if odd := next((name for name in given if name not in COLUMNS), None):
        raise InvalidInput(f"{path}, line {line}, column {odd}: there is no such column; there are {_listed()}")
    if odd := next((name for name, value in given.items() if not isinstance(value, str)), None):
        raise InvalidInput(f"{path}, line {line}, column {odd}: must be text or a number, was {given[odd]!r}")
    column = "effective"
    try:
        effective = moment(given.pop(column)) if column in given else now
        column = ""  # the error names it
        return checked_price(**given, effective=effective)
    except InvalidInput as exc:
        raise InvalidInput(f"{path}, line {line}, column {column}{': ' if column else ''}{exc}") from exc


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if odd := next((name for name in header if name not in COLUMNS), None):
            raise InvalidInput(f"{path}, line 1, column {odd}: there is no such column; there are {_listed()}")
        if len(set(header)) < len(header):
            raise InvalidInput(f"{path}, line 1: a column is named twice")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise InvalidInput(f"{path}, line {reader.line_num}: has {len(cells)} values, not {len(header)}")
            yield reader.line_num, dict(zip(header, map(str.strip, cells), strict=True))
    except csv.Error as exc:
        raise InvalidInput(f"{path}, line {reader.line_num}: {exc}") from exc


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    """An array of objects; numbers keep the text they are written in."""
    decoder = json.JSONDecoder(
        parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_without_repeats
    )
    place = _skipped(text, 0)
    try:
        json.loads(text)
        if not text.startswith("[", place):
            raise InvalidInput(f"{path}, line 1: must be an array of objects")
        place = _skipped(text, place + 1)
        while not text.startswith("]", place):
            line = text.count("\n", 0, place) + 1
            row, place = decoder.raw_decode(text, place)
            if not isinstance(row, dict):
                raise InvalidInput(f"{path}, line {line}: must be an object, was {str(row)[:40]!r}")
            yield line, row
            place = _skipped(text, place)
    except json.JSONDecodeError as exc:
        raise InvalidInput(f"{path}, line {exc.lineno}, column {exc.colno}: {exc.msg}") from exc
    except _RepeatedKey as exc:
        line = text.count("\n", 0, place) + 1
        raise InvalidInput(f"{path}, line {line}, column {exc}: is there twice") from exc


class _RepeatedKey(ValueError):
    pass


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedKey(name)
        found[name] = value
    return found


def _skipped(text: str, place: int) -> int:
    """The next place that is neither blank nor a comma; the text is known to be sound JSON."""
    while place < len(text) and text[place] in " \t\r\n,":
        place += 1
    return place


def _listed() -> str:
    return ", ".join(COLUMNS)
