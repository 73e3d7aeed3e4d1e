"""Rows into ClickHouse: all of a table's at once, and around the row that cannot be stored."""

from __future__ import annotations

from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from penstock.settings import ClickHouseSettings
from penstock_consumers.loader.columns import Rows
from penstock_services.clickhouse import unreachable

FAULTS_OF_A_ROW = frozenset(
    {
        *(6, 27, 41, 72),  # cannot parse text, input, datetime, number
        *(53, 69, 70),  # type mismatch, argument out of bound, cannot convert
        *(117, 131, 349),  # incorrect data, too large string, null in an ordinary column
        469,  # violated constraint
    }
)
"""ClickHouse's codes for data that it will never take. Any other error says nothing about the rows: it is waited
out, because a dead letter would take a good row off the bill."""
INSERT_SETTINGS = {
    "input_format_null_as_default": 1,
    "optimize_on_insert": 0,
    "materialize_skip_indexes_on_insert": 0,
}
"""A field that is null or that a record type does not have is the empty value of a column without nulls. What only
makes a new part quicker to read is left to its first merge (a third of an insert's time, `bench/loader.py`):
collapsing rows of one key, which FINAL does until then, and bloom filters, without which it is read whole."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A row that ClickHouse refuses, and why."""

    row: Rows
    error: Exception


def insert_rows(client: Client, settings: ClickHouseSettings, table: str, rows: Rows) -> list[Poison]:
    """Insert `rows` into `table`; returns those it refuses, found by halving. Blocks.

    May be repeated with the same rows: the tables' keys collapse what was inserted before.

    Raises:
        ClickHouseUnreachable: no answer, or an error that is not the rows' fault; how much went in is unknown.
    """
    if not len(rows):
        return []
    try:
        client.insert_arrow(table, rows.columns, settings=INSERT_SETTINGS)
    except DatabaseError as exc:
        if exc.code not in FAULTS_OF_A_ROW:
            raise unreachable(settings, exc) from exc
        if len(rows) == 1:
            return [Poison(rows, exc)]
    except (ClickHouseError, OSError) as exc:
        raise unreachable(settings, exc) from exc
    else:
        return []
    half = len(rows) // 2
    first, second = rows.slice(0, half), rows.slice(half, len(rows) - half)
    return [*insert_rows(client, settings, table, first), *insert_rows(client, settings, table, second)]
