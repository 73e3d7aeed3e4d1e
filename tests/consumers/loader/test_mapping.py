"""The mapping is whole: every declared event record has a row, every field a column, every column its table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from aiokafka import ConsumerRecord
from tests.consumers.loader.samples import EVENTS, charged, life_of

from penstock_consumers.loader.rows import LATEST_MICROS, Row, arrow_table, check_row, columns_of
from penstock_consumers.loader.tables import DESTINATIONS, LOADED_KINDS, TABLES
from penstock_schemas import records as r
from penstock_schemas.errors import InvalidRecord
from penstock_schemas.topics import TOPICS

LOADED = [record_type for topic in TOPICS.values() if topic.kind in LOADED_KINDS for record_type in topic.records]


def source(topic: str = EVENTS, offset: int = 7) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(topic, 1, offset, 1_700_000_000_000, 1, None, b"value", 0, 0, 5, ())


def test_every_declared_event_record_is_mapped() -> None:
    assert set(LOADED) == set(DESTINATIONS)


@pytest.mark.parametrize("record_type", LOADED, ids=lambda t: t.__name__)
def test_every_field_has_a_column_of_its_own(record_type: type[r.Record]) -> None:
    columns = list(columns_of(record_type).values())
    assert set(columns) <= set(TABLES[DESTINATIONS[record_type].table].names)
    assert len(set(columns)) == len(columns)


ARROW_OF = {
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float64": pa.float64(),
    "Bool": pa.bool_(),
    "DateTime64(6, 'UTC')": pa.timestamp("us", tz="UTC"),
    "DateTime64(3, 'UTC')": pa.timestamp("ms", tz="UTC"),
    "Map(String, String)": pa.map_(pa.string(), pa.binary()),
}


@pytest.mark.parametrize("table", TABLES)
def test_the_columns_are_those_of_the_sql(clickhouse_client: Any, table: str) -> None:
    described = {row[0]: row[1] for row in clickhouse_client.query(f"DESCRIBE TABLE {table}").result_rows}
    assert set(described) == set(TABLES[table].names)
    for field in TABLES[table]:
        plain = described[field.name].removeprefix("LowCardinality(")
        assert plain.startswith("Nullable(") == field.nullable, field.name
        inner = plain.removeprefix("Nullable(")
        if inner.startswith("String"):
            assert field.type in (pa.string(), pa.binary()), field.name
        else:
            assert field.type == ARROW_OF[inner.rstrip(")") if field.nullable else inner], field.name


def test_values_land_in_their_columns() -> None:
    [row] = arrow_table("ledger", [Row(charged("t", 5), source())]).to_pylist()
    assert (row["line_id"], row["usage_id"], row["cost_nanousd"]) == (charged("t", 5).event_id, "usage-5", 1_500)
    assert (row["execution_id"], row["epoch"], row["user_id"]) == ("", None, None)
    assert (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]) == (EVENTS, 1, 7)


def test_a_payload_by_reference_lands_in_three_columns() -> None:
    ref = r.PayloadRef(sha256="a" * 64, size=70_000, uri="file:///x")
    completed = next(record for record in life_of("t", "q") if isinstance(record, r.ExecutionCompleted))
    rows = [
        Row(completed, source()),
        Row(completed.model_copy(update={"output": None, "output_ref": ref}), source()),
    ]
    inline, by_reference = arrow_table("executions_events", rows).to_pylist()
    assert (inline["output"], inline["output_ref_sha256"], inline["output_ref_size"]) == ("done", None, None)
    assert (by_reference["output"], by_reference["output_ref_size"], by_reference["output_ref_uri"]) == (
        None,
        70_000,
        "file:///x",
    )


def test_a_time_that_no_table_can_hold_is_poison() -> None:
    late = charged("t", 1).model_copy(update={"occurred_at": LATEST_MICROS + 1})
    with pytest.raises(InvalidRecord, match="occurred_at"):
        check_row(Row(late, source()))
    check_row(Row(late.model_copy(update={"occurred_at": LATEST_MICROS}), source()))
