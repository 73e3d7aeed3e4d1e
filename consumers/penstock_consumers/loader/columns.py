"""Kafka's records to Arrow columns, many at once; what columns cannot vouch for the codec decides, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import attrgetter
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro
from aiokafka import ConsumerRecord

from penstock_consumers.loader.rules import allowed, check_times
from penstock_consumers.loader.tables import (
    RECORD_TYPE,
    SHARED_TABLES,
    TABLE_OF,
    Column,
    columns_of,
    has_own_checks,
)
from penstock_schemas.codec import BODY_START, Codec, Writer
from penstock_schemas.dead_letters import dead_letter_of
from penstock_schemas.errors import UndecodableRecord
from penstock_schemas.records import DeadLetter, Record

Message: TypeAlias = "ConsumerRecord[bytes, bytes]"
PRIMITIVES = ("boolean", "int", "long", "float", "double", "string", "bytes")
MILLIS = pa.timestamp("ms", tz="UTC")


def warm_up() -> None:
    """What would delay the first batch: pyarrow imports pandas at its first list if it can (1 s)."""
    pa.array([b""])


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, and the record behind each."""

    columns: pa.Table
    sources: Sequence[Message]

    def __len__(self) -> int:
        return len(self.sources)

    def slice(self, first: int, count: int) -> Rows:
        return Rows(self.columns.slice(first, count), self.sources[first : first + count])

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        """All rows of `parts`; a column that a part lacks is null there."""
        kept = list(parts)
        columns = pa.concat_tables([part.columns for part in kept], promote_options="permissive")
        return cls(columns, [source for part in kept for source in part.sources])


def read_rows(codec: Codec, writer: Writer, messages: Sequence[Message]) -> tuple[list[Rows], list[DeadLetter]]:
    """The rows of `messages`, which one writer's schema frames, and the dead letters of the rest. Blocks.

    A column takes bytes that the codec refuses: text that is not UTF-8, bytes behind the body, a value outside its
    record type's rules. So a row counts only where writing it again gives its bytes and each value keeps to the
    rules. Any other is read by the codec, which accepts it or refuses it with its reason.
    """
    is_plain = is_columnar(writer.schema) and not has_own_checks(writer.record_type)
    rows, doubtful = _read(writer, messages) if is_plain else ([], messages)
    more, letters = _read_by_codec(codec, writer.record_type, doubtful) if doubtful else ([], [])
    return [*rows, *more], letters


def is_columnar(avro: Any) -> bool:
    """Whether pyruhvro reads every body of a schema; its decoder panics at some others, such as maps of bytes."""
    match avro:
        case str():
            return avro in PRIMITIVES
        case ["null", inner]:
            return is_columnar(inner)
        case {"type": "record", "fields": [*fields]}:
            return all(is_columnar(field["type"]) for field in fields)
        case {"logicalType": logical}:
            return bool(avro["type"] == "long" and logical == "timestamp-micros")
        case {"type": inner}:
            return is_columnar(inner)
    return False


def _read_by_codec(
    codec: Codec, record_type: type[Record], messages: Sequence[Message]
) -> tuple[list[Rows], list[DeadLetter]]:
    columns = columns_of(record_type)
    records: list[Record] = []
    accepted: list[Message] = []
    letters: list[DeadLetter] = []
    for message in messages:
        try:
            record = codec.decode(message.topic, message.value)
            check_times(record, columns)
        except UndecodableRecord as exc:
            letters.append(dead_letter_of(message, exc, "loader"))
        else:
            records.append(record)
            accepted.append(message)
    if not records:
        return [], letters
    arrays = {c.name: pa.array([_value(record, c) for record in records], c.type) for c in columns}
    return [_rows(record_type, arrays, accepted)], letters


def _value(record: Record, column: Column) -> Any:
    value: Any = record
    for name in column.path:
        value = getattr(value, name, None)  # a nested record may be null
    return list(value.items()) if isinstance(value, dict) else value


def _read(writer: Writer, messages: Sequence[Message]) -> tuple[list[Rows], Sequence[Message]]:
    """Rows, and the messages that are in doubt; a body that stops the decoder is found by halving."""
    try:
        columns, sure = _decode(writer, [message.value[BODY_START:] for message in messages])
    except (ValueError, KeyError):  # pyruhvro's and Arrow's errors
        if len(messages) == 1:
            return [], messages
        half = len(messages) // 2
        rows, doubtful = _read(writer, messages[:half])
        more_rows, more_doubtful = _read(writer, messages[half:])
        return [*rows, *more_rows], [*doubtful, *more_doubtful]
    rows = [_rows(writer.record_type, columns, messages)]
    if pc.all(sure).as_py():
        return rows, []
    verdicts = sure.to_pylist()
    kept = [message for message, is_sure in zip(messages, verdicts, strict=True) if is_sure]
    doubtful = [message for message, is_sure in zip(messages, verdicts, strict=True) if not is_sure]
    return [Rows(each.columns.filter(sure), kept) for each in rows if kept], doubtful


def _decode(writer: Writer, bodies: list[bytes]) -> tuple[dict[str, pa.Array], pa.Array]:
    """Columns by name, and which rows are certainly what the codec would read.

    Raises:
        ValueError, KeyError: a body does not fit the schema, or the schema not the record type.
    """
    schema = json.dumps(writer.schema)
    batch = pyruhvro.deserialize_array(bodies, schema)
    batch.validate(full=True)
    (again,) = pyruhvro.serialize_record_batch(batch, schema, 1)
    verdicts = [pc.equal(again, pa.array(bodies, again.type))]
    columns: dict[str, pa.Array] = {}
    for column in columns_of(writer.record_type):
        columns[column.name] = values = _values(batch, column)
        verdicts.append(allowed(column, values))
    return columns, reduce(pc.and_, verdicts)


def _rows(record_type: type[Record], columns: dict[str, pa.Array], messages: Sequence[Message]) -> Rows:
    shared = (
        {RECORD_TYPE: pa.repeat(record_type.__name__, len(messages))}
        if TABLE_OF[record_type] in SHARED_TABLES
        else {}
    )
    return Rows(pa.table(columns | shared | _kafka_columns(messages)), messages)


def _values(batch: pa.RecordBatch, column: Column) -> pa.Array:
    if column.path[0] not in batch.schema.names and not column.required:
        return pa.array([column.default] * len(batch), column.type)
    values = batch.column(column.path[0])
    for inner in column.path[1:]:
        values = pc.struct_field(values, inner)
    return values.cast(column.type)


def _kafka_columns(messages: Sequence[Message]) -> dict[str, pa.Array]:
    def of_each(attribute: str, kind: pa.DataType) -> pa.Array:
        return pa.array(list(map(attrgetter(attribute), messages)), kind)

    return {
        "kafka_topic": pa.repeat(messages[0].topic, len(messages)),
        "kafka_partition": of_each("partition", pa.int32()),
        "kafka_offset": of_each("offset", pa.int64()),
        "kafka_timestamp": of_each("timestamp", pa.int64()).cast(MILLIS),
    }
