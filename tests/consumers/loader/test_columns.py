"""Columns accept what the codec accepts, refuse what it refuses, and read the same values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import example, given
from hypothesis import strategies as st
from tests.consumers.loader.samples import ACCOUNTS, EVENTS, LETTERS, PROGRESS, charged, life_of

from penstock_consumers.loader.columns import Message, Rows, read_rows
from penstock_consumers.loader.rules import LATEST_MICROS
from penstock_consumers.loader.tables import TABLE_OF, columns_of
from penstock_schemas import records as r
from penstock_schemas.avro_files import Schema, schema_of
from penstock_schemas.bodies import encoder_of
from penstock_schemas.codec import Codec
from penstock_schemas.dead_letters import message_of
from penstock_schemas.errors import UndecodableRecord
from penstock_schemas.topics import TOPICS


class Written:
    """A registry with one schema, and records in it."""

    def __init__(self, record_type: type[r.Record], schema: Schema | None = None) -> None:
        self.schema = schema or schema_of(record_type)
        self.topic = next(topic.name for topic in TOPICS.values() if topic.carries(record_type))

    async def schema_by_id(self, schema_id: int) -> Schema:
        return self.schema

    async def codec(self) -> Codec:
        codec = Codec(self)  # type: ignore[arg-type]  # all of a registry that reading needs
        await codec.load_schema(1)
        return codec

    def value(self, record: r.Record) -> bytes:
        body = encoder_of(schema_of(type(record)))
        return body(b"\0\0\0\0\1", record, record.event_id or "e", record.occurred_at or 1)

    async def read(self, *values: bytes) -> tuple[list[dict[str, Any]], list[r.DeadLetter]]:
        codec = await self.codec()
        messages = [message(self.topic, value, offset) for offset, value in enumerate(values)]
        rows, letters = read_rows(codec, codec.writer_of(self.topic, values[0]), messages)
        return as_dicts(rows), letters


def message(topic: str, value: bytes, offset: int) -> Message:
    return ConsumerRecord(topic, 1, offset, 1_700_000_000_000, 1, None, value, 0, 0, len(value), ())


def as_dicts(rows: Sequence[Rows]) -> list[dict[str, Any]]:
    """Rows in the order of their offsets; times as integers, for some are beyond Python's calendar."""
    found: list[dict[str, Any]] = []
    for part in rows:
        columns = {}
        for name in part.columns.column_names:
            column = part.columns[name]
            columns[name] = (column.cast("int64") if "timestamp" in str(column.type) else column).to_pylist()
        found += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return sorted(found, key=lambda row: row["kafka_offset"])


async def test_values_land_in_their_columns() -> None:
    written = Written(r.UsageCharged)
    [row], _ = await written.read(written.value(charged("t", 5)))
    assert (row["line_id"], row["usage_id"], row["cost_nanousd"]) == (charged("t", 5).event_id, "usage-5", 1_500)
    assert (row["execution_id"], row["epoch"], row["user_id"]) == (None, None, None)
    assert (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]) == (ACCOUNTS, 1, 0)
    assert row["record_type"] == "UsageCharged"


async def test_a_payload_by_reference_lands_in_three_columns() -> None:
    written = Written(r.ExecutionCompleted)
    ref = r.PayloadRef(sha256="a" * 64, size=70_000, uri="file:///x")
    inline = next(record for record in life_of("t", "q") if isinstance(record, r.ExecutionCompleted))
    by_reference = inline.model_copy(update={"output": None, "output_ref": ref})
    rows, _ = await written.read(written.value(inline), written.value(by_reference))
    assert [row["output"] for row in rows] == ["done", None]
    assert [row["output_ref_size"] for row in rows] == [None, 70_000]
    assert [row["output_ref_uri"] for row in rows] == [None, "file:///x"]
    assert {row["record_type"] for row in rows} == {"ExecutionCompleted"}


BROKEN = {
    "bytes behind the body": (lambda value: value + b"\0", "bad_payload"),
    "a body cut short": (lambda value: value[:-3], "bad_payload"),
    "no body": (lambda value: value[:5], "bad_payload"),
    "text that is not UTF-8": (lambda value: value.replace(b"claude", b"\xff\xfe\xfd\xfc\xfb\xfa"), "bad_payload"),
    "a tenant with a quote": (lambda value: value.replace(b"tenant", b"ten'nt"), "invalid_record"),
    "a tenant with a newline": (lambda value: value.replace(b"tenant", b"ten\nnt"), "invalid_record"),
    "a tenant with a null byte": (lambda value: value.replace(b"tenant", b"ten\0nt"), "invalid_record"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_the_codec_refuses_is_a_dead_letter_and_its_neighbours_are_rows(what: str) -> None:
    breaks, code = BROKEN[what]
    written = Written(r.UsageCharged)
    good = [written.value(charged("tenant", number)) for number in range(40)]
    values = [*good[:17], breaks(good[17]), *good[18:]]
    assert values != good
    rows, letters = await written.read(*values)
    assert [(letter.error_code, letter.source_offset) for letter in letters] == [(code, 17)]
    assert [row["usage_id"] for row in rows] == [f"usage-{number}" for number in range(40) if number != 17]


@pytest.mark.parametrize(
    "text", ['it\'s "quoted"', "line\nbreak\r\n\ttab", "null \0 byte", "Ünï 漢字 🦆", "", "\\N", "{t:String} -- ;"]
)
async def test_any_text_is_kept_as_it_is(text: str) -> None:
    written = Written(r.UsageCharged)
    [row], letters = await written.read(written.value(charged("t", 1).model_copy(update={"user_id": text})))
    assert (row["user_id"], letters) == (text, [])


async def test_a_time_that_no_table_can_hold_is_a_dead_letter() -> None:
    written = Written(r.UsageCharged)
    times = [written.value(charged("t", 1).model_copy(update={"occurred_at": LATEST_MICROS + n})) for n in (0, 1)]
    [row], [letter] = await written.read(*times)
    assert (row["occurred_at"], row["kafka_offset"]) == (LATEST_MICROS, 0)
    assert (letter.error_code, letter.source_offset) == ("invalid_record", 1)


async def test_a_writer_with_a_later_schema_is_read_and_its_unknown_field_left_out() -> None:
    schema = json.loads(json.dumps(schema_of(r.UsageCharged)))
    schema["fields"].insert(3, {"name": "added_later", "type": ["null", "string"], "default": None})
    written = Written(r.UsageCharged, schema)
    plain = Written(r.UsageCharged).value(charged("tenant", 3))
    id_and_tenant = 5 + 1 + len(charged("tenant", 3).event_id) + 1 + len("tenant")
    time_bytes = 1  # occurred_at is 1 in `value`
    place = id_and_tenant + time_bytes
    [row], letters = await written.read(plain[:place] + b"\x02\x06new" + plain[place:])
    assert (row["usage_id"], letters) == ("usage-3", [])
    assert "added_later" not in row


async def test_a_writer_with_an_earlier_schema_leaves_the_defaults() -> None:
    schema = json.loads(json.dumps(schema_of(r.UsageCharged)))
    schema["fields"] = [
        field for field in schema["fields"] if field["name"] not in ("user_id", "cache_read_tokens")
    ]
    written = Written(r.UsageCharged, schema)
    record = charged("tenant", 3)
    value = encoder_of(schema)(b"\0\0\0\0\1", record, record.event_id, 1)
    [row], letters = await written.read(value)
    assert (row["user_id"], row["cache_read_tokens"], row["output_tokens"], letters) == (None, 0, 2, [])


async def test_a_foreign_writers_rows_are_the_codecs_to_judge() -> None:
    """A schema of our name that lacks a field without a default: nothing in it can be a record."""
    schema = json.loads(json.dumps(schema_of(r.UsageCharged)))
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "cost_nanousd"]
    written = Written(r.UsageCharged, schema)
    record = charged("tenant", 3)
    rows, [letter] = await written.read(encoder_of(schema)(b"\0\0\0\0\1", record, record.event_id, 1))
    assert (rows, letter.error_code) == ([], "invalid_record")


SAMPLES: list[r.Record] = [
    charged("tenant", 3, execution="x"),
    *life_of("tenant", "q"),
    r.ProgressReported(tenant_id="t", execution_id="x", epoch=1, seq=1, message="half", fraction=0.5),
    r.DeadLetter(
        tenant_id="t", source_topic=EVENTS, source_partition=1, source_offset=2, source_timestamp=3, key=b"\xff",
        value=b"\0", value_size=1, headers={"a": b"\xfe", "b": b""}, error_code="c", error_message="m", stage="s",
    ),
]  # fmt: skip
assert {TOPICS[name].name for name in (EVENTS, ACCOUNTS, PROGRESS, LETTERS)} == {
    Written(type(sample)).topic for sample in SAMPLES
}


@given(
    sample=st.sampled_from(SAMPLES),
    place=st.integers(0, 10_000),
    what=st.sampled_from(["replace", "insert", "cut", "nothing"]),
    new=st.binary(min_size=1, max_size=4),
)
@example(sample=SAMPLES[-1], place=0, what="nothing", new=b"0")
async def test_columns_and_codec_agree_on_damaged_bytes(
    sample: r.Record, place: int, what: str, new: bytes
) -> None:
    written = Written(type(sample))
    whole = written.value(sample)
    at = 5 + place % (len(whole) - 5)
    behind = {"replace": whole[at + len(new) :], "insert": whole[at:], "cut": b"", "nothing": b""}[what]
    value = whole if what == "nothing" else whole[:at] + (b"" if what == "cut" else new) + behind
    rows, letters = await written.read(value)
    codec = await written.codec()
    try:
        record = codec.decode(written.topic, value)
    except UndecodableRecord as exc:
        refused = exc
    else:
        refused = None
    if refused is not None:
        told = [(letter.error_code, letter.error_message) for letter in letters]
        assert (rows, told) == ([], [(refused.code, message_of(refused))])
        return
    times = [getattr(record, c.path[0], 0) for c in columns_of(type(record)) if "timestamp" in str(c.type)]
    if max(times) > LATEST_MICROS:
        assert [letter.error_code for letter in letters] == ["invalid_record"]
        return
    assert letters == []
    [row] = rows
    for column in columns_of(type(record)):
        expected: Any = record
        for name in column.path:
            expected = None if expected is None else getattr(expected, name)
        found = row[column.name]
        assert (dict(found) if isinstance(expected, dict) else found) == expected, column.name
    assert TABLE_OF[type(record)]
