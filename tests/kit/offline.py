"""A codec without a server: the real one, over a registry in memory. For tests of what does no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from penstock_schemas.avro_files import Schema, schema_of
from penstock_schemas.codec import Codec
from penstock_schemas.records import Record
from penstock_schemas.registry import SchemaRegistry, subject_of
from penstock_schemas.topics import DEAD_LETTERS, Topic


class MemoryRegistry:
    """Gives every subject an id as it is asked for it."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Schema] = {}

    async def id_of(self, topic: Topic, record_type: type[Record]) -> int:
        number = self._ids.setdefault(subject_of(topic, record_type), len(self._ids) + 1)
        self._schemas[number] = schema_of(record_type)
        return number

    async def schema_by_id(self, schema_id: int) -> Schema | None:
        return self._schemas.get(schema_id)


async def offline_codec(topics: Iterable[Topic]) -> Codec:
    topics = (*topics, DEAD_LETTERS)
    codec = Codec(cast(SchemaRegistry, MemoryRegistry()), topics)
    await codec.prepare_writers(topics)
    return codec
