"""Generated bodies are fastavro's, byte by byte, and take exactly the bytes that fastavro takes."""

from __future__ import annotations

from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas import records as r
from penstock_schemas.avro_files import RECORD_TYPES, schema_of, without_logical_types
from penstock_schemas.bodies import fastavro_decoder, fastavro_encoder
from penstock_schemas.generated_bodies import can_generate, generated_decoder, generated_encoder
from tests.contract.test_codec import records_of

FRAME = b"\x00\x00\x00\x00\x07"


def parsed(schema: Any) -> Any:
    return fastavro.parse_schema(without_logical_types(schema))


@pytest.mark.parametrize("kind", RECORD_TYPES.values())
def test_every_record_of_the_contract_is_generated(kind: type[r.Record]):
    assert can_generate(without_logical_types(schema_of(kind)))


@pytest.mark.parametrize("kind", RECORD_TYPES.values())
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_generated_body_is_fastavros(kind: type[r.Record], data: st.DataObject):
    schema, record = without_logical_types(schema_of(kind)), data.draw(records_of(kind))
    event_id, occurred_at = data.draw(st.text(st.characters(codec="utf-8"))), data.draw(st.integers(0, 1 << 62))
    expected = fastavro_encoder(parsed(schema))(FRAME, record, event_id, occurred_at)
    assert generated_encoder(schema)(FRAME, record, event_id, occurred_at) == expected
    assert generated_decoder(schema)(expected, 5) == fastavro_decoder(parsed(schema))(expected, 5)


KINDS: list[Any] = ["string", "bytes", "int", "long", "boolean", "double"]
KINDS += [{"type": "map", "values": "long"}, {"type": "array", "items": "string"}]
KINDS += [{"type": "record", "name": "Inner", "fields": [{"name": "b", "type": "int"}]}]


@settings(max_examples=2_000, deadline=None)
@given(kind=st.sampled_from(KINDS), nullable=st.booleans(), body=st.binary(max_size=12))
def test_what_the_generated_reader_accepts_fastavro_reads_alike(kind: Any, nullable: bool, body: bytes):
    field: Any = ["null", kind] if nullable else kind
    schema: Any = {"type": "record", "name": "R", "fields": [{"name": "a", "type": field}]}
    generated = _outcome(generated_decoder(schema), body)
    if generated is not None:
        assert repr(generated) == repr(_outcome(fastavro_decoder(parsed(schema)), body))  # repr: NaN is not itself


def test_a_block_that_names_its_size_is_read_too():
    schema: Any = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": {"type": "array", "items": "int"}}],
    }
    body = bytes([3, 4, 2, 4, 0])  # -2 items in 2 bytes: 1 and 2, then the end
    assert generated_decoder(schema)(body, 0) == fastavro_decoder(parsed(schema))(body, 0) == {"a": [1, 2]}


def test_what_no_schema_of_ours_has_is_left_to_fastavro():
    empty = {"type": "record", "name": "Empty", "fields": []}
    for avro in (["int", "string"], {"type": "enum", "name": "E", "symbols": ["A"]}, "Named", "null", empty):
        assert not can_generate({"type": "record", "name": "R", "fields": [{"name": "a", "type": avro}]})


def _outcome(decode: Any, body: bytes) -> Any:
    try:
        return decode(body, 0)
    except Exception:
        return None


@pytest.mark.parametrize(
    ("avro", "body"),
    [
        ("string", b"\x06ab"),
        ("string", b"\x01"),
        ("string", b"\x02\xff"),
        ("long", b"\xff" * 11),
        ("long", b"\x80"),
        ("boolean", b"\x02"),
        (["null", "long"], b"\x04\x02"),
        ("long", b"\x02\x02"),
    ],
    ids=["cut", "negative length", "not UTF-8", "too long", "unfinished", "no boolean", "no branch", "left over"],
)
def test_bytes_that_are_no_body_are_refused(avro: Any, body: bytes):
    schema: Any = {"type": "record", "name": "R", "fields": [{"name": "a", "type": avro}]}
    with pytest.raises((ValueError, IndexError)):
        generated_decoder(schema)(body, 0)


def test_a_number_beyond_64_bits_is_refused_when_written():
    usage = r.RecordUsage.model_construct(
        tenant_id="a", usage_id="u", model="m", input_tokens=1 << 63, output_tokens=1, execution_id=None,
        epoch=None, call_seq=None, user_id=None, agent_type=None, cache_read_tokens=0, cache_write_tokens=0,
        reasoning_tokens=0,
    )  # fmt: skip
    with pytest.raises(OverflowError, match="64 bits"):
        generated_encoder(schema_of(r.RecordUsage))(FRAME, usage, "e", 1)


def test_a_field_name_from_a_foreign_registry_is_data_not_code():
    name = "a'] + __import__('os').abort() #"
    schema: Any = {"type": "record", "name": "R", "fields": [{"name": name, "type": "long"}]}
    assert generated_decoder(schema)(b"\x02", 0) == {name: 1}
