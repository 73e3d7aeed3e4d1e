"""Records to Arrow columns, by the mapping in `tables`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import pyarrow as pa
from aiokafka import ConsumerRecord
from pydantic import BaseModel

from penstock_consumers.loader.tables import DESTINATIONS, TABLES
from penstock_schemas.errors import InvalidRecord
from penstock_schemas.records import Record

LATEST_MICROS = 9_224_318_015_999_999
"""2262-04-11: the last instant that ClickHouse's DateTime64 computes with at any precision."""

Getter = Callable[[Record], Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A decoded record and where it lies on Kafka; becomes one row."""

    record: Record
    source: ConsumerRecord[bytes, bytes]

    @property
    def table(self) -> str:
        return DESTINATIONS[type(self.record)].table


def check_row(row: Row) -> None:
    """Raise `InvalidRecord` for what Avro can carry and ClickHouse would store as another value."""
    for name in _time_fields(type(row.record)):
        if getattr(row.record, name) > LATEST_MICROS:
            raise InvalidRecord(
                f"{type(row.record).__name__}: {name} is after the year 2262, which no table can hold"
            )


def arrow_table(table: str, rows: Sequence[Row]) -> pa.Table:
    """The rows as columns of `table`.

    Raises:
        pyarrow.ArrowInvalid, OverflowError: a value does not fit its column.
    """
    schema = TABLES[table]
    columns: list[list[Any]] = [[] for _ in schema]
    appends = [column.append for column in columns]
    for row in rows:
        record, source = row.record, row.source
        for append, getter in zip(appends, _getters(type(record)), strict=False):
            append(getter(record))
        kafka = (source.topic, source.partition, source.offset, source.timestamp)
        for append, value in zip(appends[-len(kafka) :], kafka, strict=True):
            append(value)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def columns_of(record_type: type[Record]) -> dict[str, str]:
    """Column by field path (`output_ref.size`) of a record type."""
    renamed = DESTINATIONS[record_type].renamed
    paths: list[str] = []
    for name, field in record_type.model_fields.items():
        nested = [t for t in (field.annotation, *get_args(field.annotation)) if _is_model(t)]
        paths += [f"{name}.{inner}" for inner in nested[0].model_fields] if nested else [name]
    return {path: renamed.get(path, path.replace(".", "_")) for path in paths}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


@cache
def _time_fields(record_type: type[Record]) -> tuple[str, ...]:
    schema = TABLES[DESTINATIONS[record_type].table]
    columns = columns_of(record_type)
    return tuple(path for path, column in columns.items() if pa.types.is_timestamp(schema.field(column).type))


@cache
def _getters(record_type: type[Record]) -> tuple[Getter, ...]:
    """One getter per column, in the table's order, up to the Kafka coordinates."""
    path_of = {column: path for path, column in columns_of(record_type).items()}
    own = [field for field in TABLES[DESTINATIONS[record_type].table] if not field.name.startswith("kafka_")]
    return tuple(_getter(record_type, field, path_of.get(field.name)) for field in own)


def _getter(record_type: type[Record], field: pa.Field, path: str | None) -> Getter:
    empty = None if field.nullable else _empty(field.type)
    if path is None:
        constant = record_type.__name__ if field.name == "record_type" else empty
        return lambda _: constant
    outer, _, inner = path.partition(".")
    if inner:
        return lambda record: getattr(getattr(record, outer), inner, empty)
    if pa.types.is_map(field.type):
        return lambda record: list(getattr(record, outer).items())

    def get(record: Record) -> Any:
        value = getattr(record, outer)
        return empty if value is None else value

    return get


def _empty(data_type: pa.DataType) -> Any:
    if pa.types.is_string(data_type):
        return ""
    return False if pa.types.is_boolean(data_type) else 0
