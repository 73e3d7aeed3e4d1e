"""The mapping is whole: every declared event record has a table, every field a column of its type."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest

from penstock_consumers.loader.tables import MICROS, SHARED_TABLES, TABLE_OF, Column, columns_of
from penstock_schemas import records as r
from penstock_schemas.topics import TOPICS

LOADED_KINDS = ("events", "progress", "dead-letters")
KAFKA = {"kafka_topic", "kafka_partition", "kafka_offset", "kafka_timestamp"}
CLICKHOUSE_TYPES = {
    pa.string(): "String",
    pa.binary(): "String",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.float64(): "Float64",
    pa.bool_(): "Bool",
    MICROS: "DateTime64(6, 'UTC')",
}


def columns_in(client: Any, table: str) -> dict[str, str]:
    """ClickHouse's type by column."""
    return {row[0]: row[1] for row in client.query(f"DESCRIBE TABLE {table}").result_rows}


def test_every_declared_event_record_has_a_table() -> None:
    declared = {kind for topic in TOPICS.values() if topic.kind in LOADED_KINDS for kind in topic.records}
    assert set(TABLE_OF) == declared


def test_everything_with_a_cost_is_in_the_ledger() -> None:
    assert {kind for kind in TABLE_OF if "cost_nanousd" in kind.model_fields} == {
        kind for kind, table in TABLE_OF.items() if table == "ledger"
    }


@pytest.mark.parametrize("record_type", TABLE_OF, ids=lambda t: t.__name__)
def test_every_field_has_a_column_of_its_own_and_of_its_type(
    record_type: type[r.Record], clickhouse_client: Any
) -> None:
    table = TABLE_OF[record_type]
    described, columns = columns_in(clickhouse_client, table), columns_of(record_type)
    missing = {column.name for column in columns} - set(described)
    assert not missing, f"{table} lacks {missing} of {record_type.__name__}: add them in a new migration"
    assert len({column.name for column in columns}) == len(columns)
    for column in columns:
        assert fits(column, described[column.name]), f"{table}.{column.name} is {described[column.name]}"


def fits(column: Column, described: str) -> bool:
    """Whether values of `column` keep their value in a ClickHouse column of this type."""
    plain = re.fullmatch(r"(?:LowCardinality\()?(?:Nullable\()?(.*?)\)*", described)
    assert plain is not None
    if pa.types.is_map(column.type):
        return described == "Map(String, String)"
    wanted = CLICKHOUSE_TYPES[column.type]
    return plain.group(1).rstrip(")") == wanted.rstrip(")")


@pytest.mark.parametrize("table", sorted(set(TABLE_OF.values())))
def test_a_table_has_kafkas_coordinates_and_nothing_that_no_record_fills(
    table: str, clickhouse_client: Any
) -> None:
    filled = {column.name for kind, of in TABLE_OF.items() if of == table for column in columns_of(kind)}
    if table in SHARED_TABLES:
        filled.add("record_type")
    assert set(columns_in(clickhouse_client, table)) == filled | KAFKA


@pytest.mark.parametrize("table", sorted(set(TABLE_OF.values())))
def test_a_field_has_one_type_in_all_records_of_a_table(table: str) -> None:
    types: dict[str, pa.DataType] = {}
    for kind, of in TABLE_OF.items():
        for column in columns_of(kind) if of == table else ():
            assert types.setdefault(column.name, column.type) == column.type


def test_the_control_a_field_without_a_column_is_told(clickhouse_client: Any) -> None:
    clickhouse_client.command("ALTER TABLE ledger DROP COLUMN price_version")
    with pytest.raises(AssertionError, match=r"ledger lacks \{'price_version'\} of UsageCharged"):
        test_every_field_has_a_column_of_its_own_and_of_its_type(r.UsageCharged, clickhouse_client)
