"""Records to bytes and back: Avro bodies in Confluent framing (magic byte 0, schema id as 4 bytes big-endian).

Everything here is synchronous and does no I/O once schemas are loaded, so a batch can be decoded and encoded
without an await. `decode` on a schema id not seen before raises `SchemaNotLoaded`; the caller awaits
`load_schema` and tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from penstock_schemas import records as r
from penstock_schemas.avro_files import RECORD_TYPES, Schema, schema_of
from penstock_schemas.bodies import DecodeBody, EncodeBody, decoder_of, encoder_of, full_name_of
from penstock_schemas.errors import (
    BadFraming,
    BadPayload,
    ContractError,
    ForeignSchema,
    InvalidRecord,
    RecordTooLarge,
    UnencodableRecord,
    UnknownSchemaId,
)
from penstock_schemas.registry import SchemaRegistry, wait_for_registry
from penstock_schemas.topics import MAX_RECORD_BYTES, TOPICS, Topic, topic_named

MAGIC = 0
BODY_START = 5
"""A value is the magic byte, four bytes of schema id, and the body."""
UNKNOWN_ID_REMEMBERED_S = 30.0
"""A flood of records with one unknown id asks the registry once in this time."""


class SchemaNotLoaded(ContractError):
    """The writer's schema id has not been looked up yet: await `Codec.load_schema(schema_id)` and retry."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id} is not loaded yet")
        self.schema_id = schema_id


@dataclass(frozen=True, slots=True)
class Writer:
    """What the framing of a value tells: its record type, and the schema its body was written with."""

    record_type: type[r.Record]
    schema: Schema


class Codec:
    """Encodes and decodes records of declared topics.

    Args:
        registry: where schema ids come from; the codec does not close it.
        more_topics: topics beyond those declared in `topics`.
    """

    def __init__(self, registry: SchemaRegistry, more_topics: Iterable[Topic] = ()) -> None:
        self._registry = registry
        self._more_topics = {topic.name: topic for topic in more_topics}
        self._decoders: dict[int, tuple[str, DecodeBody | None]] = {}
        self._schemas: dict[int, Schema] = {}
        self._unknown_until: dict[int, float] = {}
        self._readers: dict[tuple[str, int], tuple[DecodeBody, type[r.Record]]] = {}
        self._writers: dict[tuple[str, type[r.Record]], tuple[bytes, EncodeBody]] = {}

    async def prepare_writers(self, topics: Iterable[Topic] | None = None) -> None:
        """Resolve the schema ids for everything this process may write to `topics` (default: all).

        Waits for a registry that cannot be reached.

        Raises:
            ContractError: a schema is not registered.
        """
        wanted = [(t, rt) for t in topics or TOPICS.values() for rt in t.records]
        gate = asyncio.Semaphore(8)

        async def prepare(topic: Topic, record_type: type[r.Record]) -> None:
            async with gate:
                await self.prepare_writer(topic, record_type)

        await asyncio.gather(*(prepare(topic, record_type) for topic, record_type in wanted))

    async def prepare_writer(self, topic: Topic, record_type: type[r.Record]) -> None:
        """Resolve the schema id for writing `record_type` to `topic`."""
        if (topic.name, record_type) in self._writers:
            return
        schema_id = await wait_for_registry(lambda: self._registry.id_of(topic, record_type))
        schema = schema_of(record_type)
        frame = bytes([MAGIC]) + schema_id.to_bytes(4, "big")
        self._writers[topic.name, record_type] = (frame, encoder_of(schema))
        self._decoders[schema_id] = (record_type.full_name(), decoder_of(schema))
        self._schemas[schema_id] = schema

    async def load_schema(self, schema_id: int) -> None:
        """Look up a writer's schema, waiting for a registry that cannot be reached; see `SchemaNotLoaded`."""
        if schema_id in self._decoders or self._is_known_unknown(schema_id):
            return
        found = await wait_for_registry(lambda: self._registry.schema_by_id(schema_id))
        if found is None:
            self._unknown_until[schema_id] = time.monotonic() + UNKNOWN_ID_REMEMBERED_S
            return
        try:
            self._decoders[schema_id] = (full_name_of(found), decoder_of(found))
            self._schemas[schema_id] = found
        except Exception:  # a schema in the registry that is no Avro record, whatever it is
            self._decoders[schema_id] = ("", None)

    def decode(self, topic: str, value: bytes | None) -> r.Record:
        """The record in `value`, which was read from `topic`.

        Raises:
            UndecodableRecord: poison; the subclass says which kind.
            SchemaNotLoaded: not an error: load the schema and try again.
        """
        framed, schema_id = _framed(value)
        reader = self._readers.get((topic, schema_id))
        decode, record_type = reader or self._reader_for(topic, schema_id)
        try:
            fields = decode(framed, BODY_START)
        except Exception as exc:  # whatever the bytes lead it to
            raise BadPayload(f"{record_type.__name__}: body does not fit schema {schema_id}: {exc!r}") from exc
        try:
            return record_type.model_validate(fields)
        except ValidationError as exc:
            raise InvalidRecord(f"{record_type.__name__}: {_first_problem(exc)}") from exc

    def writer_of(self, topic: str, value: bytes | None) -> Writer:
        """What the framing of `value` tells, for those who read many at once; raises like `decode`."""
        _, schema_id = _framed(value)
        _, record_type = self._readers.get((topic, schema_id)) or self._reader_for(topic, schema_id)
        return Writer(record_type, self._schemas[schema_id])

    def encode(
        self, topic: str, record: r.Record, *, event_id: str | None = None, occurred_at: int | None = None
    ) -> bytes:
        """The bytes of `record` for `topic`, stamped with `event_id` and `occurred_at` where those are given.

        `occurred_at` (microseconds) only fills an empty one.

        Raises:
            RecordTooLarge: above `MAX_RECORD_BYTES`.
            UnencodableRecord: does not fit its schema, has no id, or its type is not declared for the topic.
        """
        writer = self._writers.get((topic, type(record)))
        if writer is None:
            carried = ", ".join(t.__name__ for t in self._topic(topic).records)
            raise UnencodableRecord(f"no writer for {type(record).__name__} on {topic}, which carries {carried}")
        frame, encode = writer
        event_id, occurred_at = event_id or record.event_id, record.occurred_at or occurred_at
        if not event_id or not occurred_at:
            raise UnencodableRecord(f"{type(record).__name__} has no event_id or no occurred_at")
        try:
            encoded = encode(frame, record, event_id, occurred_at)
        except Exception as exc:  # whatever the values lead it to
            raise UnencodableRecord(f"{type(record).__name__} does not fit its schema: {exc!r}") from exc
        if len(encoded) > MAX_RECORD_BYTES:
            raise RecordTooLarge(
                f"{type(record).__name__} for {topic} is {len(encoded)} bytes, above {MAX_RECORD_BYTES}; "
                "large payloads travel as a PayloadRef"
            )
        return encoded

    def _reader_for(self, topic: str, schema_id: int) -> tuple[DecodeBody, type[r.Record]]:
        if self._is_known_unknown(schema_id):
            raise UnknownSchemaId(f"the registry knows no schema with id {schema_id}")
        if schema_id not in self._decoders:
            raise SchemaNotLoaded(schema_id)
        name, decode = self._decoders[schema_id]
        record_type = RECORD_TYPES.get(name)
        declared = self._topic(topic)
        if decode is None or record_type is None or not declared.carries(record_type):
            carried = ", ".join(t.__name__ for t in declared.records)
            raise ForeignSchema(f"schema {schema_id} is {name or 'no record'}; {topic} carries {carried}")
        self._readers[topic, schema_id] = (decode, record_type)
        return decode, record_type

    def _topic(self, name: str) -> Topic:
        return self._more_topics.get(name) or topic_named(name)

    def _is_known_unknown(self, schema_id: int) -> bool:
        until = self._unknown_until.get(schema_id)
        return until is not None and time.monotonic() < until


def _framed(value: bytes | None) -> tuple[bytes, int]:
    """`value`, which has Confluent framing, and its schema id."""
    if value is None:
        raise BadFraming("the record has no value; a tombstone means nothing on this topic")
    if len(value) < BODY_START or value[0] != MAGIC:
        raise BadFraming(
            f"{len(value)} bytes starting {value[:5].hex()!r}: not Confluent framing (00, then a schema id)"
        )
    return value, int.from_bytes(value[1:BODY_START], "big")


def _first_problem(exc: ValidationError) -> str:
    problem = exc.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    value = repr(problem["input"])
    shown = value if len(value) <= 80 else value[:77] + "..."
    return f"{where}: {problem['msg']} (was {shown})"
