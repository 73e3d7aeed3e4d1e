"""Avro bodies: by functions generated from the schema where it has nothing unusual, by fastavro for any other."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro
from pydantic import BaseModel

from penstock_schemas.avro_files import Schema, without_logical_types
from penstock_schemas.generated_bodies import can_generate, generated_decoder, generated_encoder

DecodeBody = Callable[[bytes, int], dict[str, Any]]
"""(value, where its body starts) → fields. Raises anything where the rest of value is not exactly one body."""
EncodeBody = Callable[[bytes, BaseModel, str, int], bytes]
"""(bytes to put before the body, record, its event_id, its occurred_at) → bytes. Raises anything where a value
does not fit its schema."""


def decoder_of(schema: Schema) -> DecodeBody:
    """Reads bodies that were written with `schema`.

    Raises:
        fastavro.schema.SchemaParseException: it is no Avro schema.
    """
    plain = without_logical_types(schema)
    parsed = fastavro.parse_schema(plain)
    return generated_decoder(plain) if can_generate(plain) else fastavro_decoder(parsed)


def encoder_of(schema: Schema) -> EncodeBody:
    """Writes bodies of `schema`; raises like `decoder_of`."""
    plain = without_logical_types(schema)
    parsed = fastavro.parse_schema(plain)
    return generated_encoder(plain) if can_generate(plain) else fastavro_encoder(parsed)


def full_name_of(schema: Schema) -> str:
    """Name of a record schema with its namespace; raises like `decoder_of`."""
    parsed: Any = fastavro.parse_schema(schema)
    return str(parsed["name"])


def fastavro_decoder(parsed: Any) -> DecodeBody:
    def decode(value: bytes, start: int) -> Any:
        body = BytesIO(value)
        body.seek(start)
        fields: Any = fastavro.schemaless_reader(body, parsed)
        if body.tell() != len(value):
            raise ValueError(f"{len(value) - body.tell()} bytes after the end of the body")
        return fields

    return decode


def fastavro_encoder(parsed: Any) -> EncodeBody:
    def encode(frame: bytes, record: BaseModel, event_id: str, occurred_at: int) -> bytes:
        body = BytesIO()
        body.write(frame)
        fields = {**record.model_dump(), "event_id": event_id, "occurred_at": occurred_at}
        fastavro.schemaless_writer(body, parsed, fields)
        return body.getvalue()

    return encode
