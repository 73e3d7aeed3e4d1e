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
from penstock_schemas.flat_bodies import flat_decoder, flat_encoder, is_flat
from tests.contract.test_codec import records_of

FLAT = [kind for kind in RECORD_TYPES.values() if is_flat(without_logical_types(schema_of(kind)))]
FRAME = b"\x00\x00\x00\x00\x07"


def parsed(schema: Any) -> Any:
    return fastavro.parse_schema(without_logical_types(schema))


def test_the_records_of_every_provider_call_and_the_money_are_flat():
    assert {r.RecordUsage, r.UsageCharged, r.UsageQuarantined, r.ClaimLease, r.SettleExecution} <= set(FLAT)


@pytest.mark.parametrize("kind", FLAT)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_generated_body_is_fastavros(kind: type[r.Record], data: st.DataObject):
    schema, record = schema_of(kind), data.draw(records_of(kind))
    event_id, occurred_at = data.draw(st.text(st.characters(codec="utf-8"))), data.draw(st.integers(0, 1 << 62))
    expected = fastavro_encoder(parsed(schema))(FRAME, record, event_id, occurred_at)
    assert flat_encoder(schema)(FRAME, record, event_id, occurred_at) == expected
    assert flat_decoder(schema)(expected, 5) == fastavro_decoder(parsed(schema))(expected, 5)


@settings(max_examples=1_000, deadline=None)
@given(
    kind=st.sampled_from(["string", "bytes", "int", "long", "boolean"]),
    nullable=st.booleans(),
    body=st.binary(max_size=12),
)
def test_what_the_generated_reader_accepts_fastavro_reads_alike(kind: str, nullable: bool, body: bytes):
    schema: Any = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": ["null", kind] if nullable else kind}],
    }
    generated = _outcome(flat_decoder(schema), body)
    if generated is not None:
        assert generated == _outcome(fastavro_decoder(parsed(schema)), body)


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
        flat_decoder(schema)(body, 0)


def test_a_number_beyond_64_bits_is_refused_when_written():
    usage = r.RecordUsage.model_construct(
        tenant_id="a", usage_id="u", model="m", input_tokens=1 << 63, output_tokens=1, execution_id=None,
        epoch=None, call_seq=None, user_id=None, agent_type=None, cache_read_tokens=0, cache_write_tokens=0,
        reasoning_tokens=0,
    )  # fmt: skip
    with pytest.raises(OverflowError, match="64 bits"):
        flat_encoder(schema_of(r.RecordUsage))(FRAME, usage, "e", 1)


def test_a_field_name_from_a_foreign_registry_is_data_not_code():
    name = "a'] + __import__('os').abort() #"
    schema: Any = {"type": "record", "name": "R", "fields": [{"name": name, "type": "long"}]}
    assert flat_decoder(schema)(b"\x02", 0) == {name: 1}
