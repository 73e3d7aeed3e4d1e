"""Rows into ClickHouse: all of a table's at once, and around the row that cannot be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from penstock.settings import ClickHouseSettings
from penstock_consumers.loader.rows import Row, arrow_table
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


@dataclass(frozen=True, slots=True)
class Poison:
    """A row that ClickHouse refuses, and why."""

    row: Row
    error: Exception


def insert_rows(client: Client, settings: ClickHouseSettings, table: str, rows: Sequence[Row]) -> list[Poison]:
    """Insert `rows` into `table`; returns those it refuses, found by halving. Blocks.

    May be repeated with the same rows: the tables' keys collapse what was inserted before.

    Raises:
        ClickHouseUnreachable: no answer, or an error that is not the rows' fault; how much went in is unknown.
    """
    if not rows:
        return []
    try:
        client.insert_arrow(table, arrow_table(table, rows))
    except (pa.ArrowException, OverflowError) as exc:
        fault: Exception = exc
    except DatabaseError as exc:
        if exc.code not in FAULTS_OF_A_ROW:
            raise unreachable(settings, exc) from exc
        fault = exc
    except (ClickHouseError, OSError) as exc:
        raise unreachable(settings, exc) from exc
    else:
        return []
    if len(rows) == 1:
        return [Poison(rows[0], fault)]
    half = len(rows) // 2
    return [
        *insert_rows(client, settings, table, rows[:half]),
        *insert_rows(client, settings, table, rows[half:]),
    ]
