"""A registry in memory with every schema of the contract: what the codec needs, without a server."""

from __future__ import annotations

from penstock_schemas import records as r
from penstock_schemas.avro_files import Schema, schema_of
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import TOPICS, Topic

EVERY_KIND = [(topic, kind) for topic in TOPICS.values() for kind in topic.records]


class InMemoryRegistry(SchemaRegistry):
    """Ids count from 1 in the order of the topics' declarations."""

    def __init__(self) -> None:
        self.url = "memory:"

    async def id_of(self, topic: Topic, record_type: type[r.Record]) -> int:
        return EVERY_KIND.index((topic, record_type)) + 1

    async def schema_by_id(self, schema_id: int) -> Schema | None:
        return schema_of(EVERY_KIND[schema_id - 1][1]) if 1 <= schema_id <= len(EVERY_KIND) else None


async def codec() -> Codec:
    """A codec that may write everything."""
    ready = Codec(InMemoryRegistry())
    await ready.prepare_writers()
    return ready
