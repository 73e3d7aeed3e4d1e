"""Every record survives the way through bytes; no bytes whatever raise anything but `UndecodableRecord`."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_schemas import records as r
from penstock_schemas.avro_files import schema_of
from penstock_schemas.codec import SchemaNotLoaded
from penstock_schemas.errors import UndecodableRecord
from penstock_schemas.topics import ACCOUNTS_REQUESTS, Topic
from tests.contract.registered import EVERY_KIND, codec

CODEC = asyncio.run(codec())

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
RANGES = {"int": (-(1 << 31), (1 << 31) - 1), "long": (-(1 << 63), (1 << 63) - 1)}
NARROWER: dict[str, st.SearchStrategy[Any]] = {
    "tenant_id": st.just(r.SYSTEM_TENANT) | NAMES,
    "epoch": st.integers(1, (1 << 31) - 1),
    "seq": st.integers(1, (1 << 63) - 1),
    "size": st.integers(0, (1 << 63) - 1),
    "size_bytes": st.integers(0, (1 << 63) - 1),
    "fraction": st.floats(0, 1),
    "sha256": st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    "agent_type": NAMES,
    "role": st.sampled_from(["user", "assistant"]),
}
"""Fields to which the models give a narrower range than Avro's type."""


def values_of(avro: Any, name: str) -> st.SearchStrategy[Any]:
    """Values of a field that its schema and its model both accept."""
    if isinstance(avro, list):
        return st.none() | values_of(avro[1], name)
    if isinstance(avro, dict):
        match avro["type"]:
            case "record":
                return fields_of(avro)
            case "array":
                return st.lists(values_of(avro["items"], ""), max_size=3)
            case "map":
                return st.dictionaries(TEXT, values_of(avro["values"], ""), max_size=3)
        if avro.get("logicalType"):
            return st.integers(1, (1 << 62) - 1)
        return values_of(avro["type"], name)
    if name in NARROWER:
        return NARROWER[name]
    if avro in RANGES:
        return st.integers(*RANGES[avro])
    kinds = {
        "string": TEXT.filter(bool),
        "bytes": st.binary(max_size=40),
        "boolean": st.booleans(),
        "double": st.floats(allow_nan=False),
    }
    return kinds[avro]


def fields_of(schema: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({f["name"]: values_of(f["type"], f["name"]) for f in schema["fields"]})


def records_of(kind: type[r.Record]) -> st.SearchStrategy[r.Record]:
    literals = {
        name: st.sampled_from(get_args(field.annotation))
        for name, field in kind.model_fields.items()
        if get_origin(field.annotation) is Literal
    }
    drawn = st.tuples(fields_of(schema_of(kind)), st.fixed_dictionaries(literals))
    return drawn.map(lambda fields: kind.model_validate(fields[0] | fields[1]))


@pytest.mark.parametrize(
    ("topic", "kind"), EVERY_KIND, ids=lambda x: getattr(x, "name", getattr(x, "__name__", ""))
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_record_is_itself_again_after_its_bytes(topic: Topic, kind: type[r.Record], data: st.DataObject):
    record = data.draw(records_of(kind))
    assert CODEC.decode(topic.name, CODEC.encode(topic.name, record)) == record


@settings(max_examples=400, deadline=None)
@given(
    topic=st.sampled_from([topic for topic, _ in EVERY_KIND]),
    schema_id=st.integers(0, len(EVERY_KIND) + 2),
    body=st.binary(max_size=300),
    frame=st.booleans(),
)
def test_arbitrary_bytes_are_undecodable_and_nothing_else(topic: Topic, schema_id: int, body: bytes, frame: bool):
    decode_only_raises_undecodable(topic, b"\x00" + schema_id.to_bytes(4, "big") + body if frame else body)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), kind=st.sampled_from(EVERY_KIND))
def test_damaged_records_are_undecodable_and_nothing_else(data: st.DataObject, kind: tuple[Topic, type[r.Record]]):
    topic, record_type = kind
    value = bytearray(CODEC.encode(topic.name, data.draw(records_of(record_type))))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    decode_only_raises_undecodable(topic, bytes(value[: data.draw(st.integers(0, len(value)))]))


def decode_only_raises_undecodable(topic: Topic, value: bytes) -> None:
    try:
        CODEC.decode(topic.name, value)
    except UndecodableRecord:
        return
    except SchemaNotLoaded as exc:
        asyncio.run(CODEC.load_schema(exc.schema_id))
        with pytest.raises(UndecodableRecord):
            CODEC.decode(topic.name, value)


def test_a_whole_record_decodes_and_a_cut_one_does_not():
    """The control of the two tests above: they would also pass if nothing ever decoded."""
    usage = r.RecordUsage(
        event_id="e", tenant_id="a", occurred_at=1, usage_id="u", model="m", input_tokens=1, output_tokens=1
    )
    value = CODEC.encode(ACCOUNTS_REQUESTS.name, usage)
    assert CODEC.decode(ACCOUNTS_REQUESTS.name, value) == usage
    with pytest.raises(UndecodableRecord):
        CODEC.decode(ACCOUNTS_REQUESTS.name, value[:-1])
    with pytest.raises(UndecodableRecord):
        CODEC.decode(ACCOUNTS_REQUESTS.name, value + b"\x00")
