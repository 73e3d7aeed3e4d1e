"""From Kafka records to decoded, routed and prepared ones; all the waiting happens here, before the fold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from penstock.errors import Unreachable
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.records import Record
from penstock_schemas.topics import Topic
from penstock_streams.kit.api import Prepare
from penstock_streams.kit.inputs import InputRecord

log = logging.getLogger("penstock.streams")

LONGEST_PAUSE_S = 5.0


class Arrived(msgspec.Struct, frozen=True):
    """An input record, ready for the fold."""

    raw: InputRecord
    home: int
    """The partition it belongs to by its value."""
    record: Record | Exception
    """Decoded and prepared, or why it could not be."""


class Intake:
    """Decodes, routes and prepares the inputs of one task.

    Args:
        inputs: by topic name.
        partitions: their common partition count.
        waiting: told what the task waits for, and None once it goes on.
    """

    def __init__(
        self,
        inputs: Mapping[str, Topic],
        partitions: int,
        partition: int,
        codec: Codec,
        prepare: Mapping[type[Record], Prepare],
        waiting: Callable[[str | None], None],
    ) -> None:
        self._inputs = inputs
        self._partitions = partitions
        self._partition = partition
        self._codec = codec
        self._prepare: Mapping[type, Prepare] = prepare
        self._waiting = waiting

    async def admit(self, raws: list[InputRecord]) -> list[Arrived]:
        """All of `raws`, in their order; waits while the registry or what `prepare` needs is down."""
        admitted: list[Arrived] = []
        for raw in raws:
            arrived = self._at_once(raw) or await self._admit(raw)
            if arrived.home == self._partition and (prepare := self._prepare.get(type(arrived.record))):
                arrived = await self._prepared(prepare, arrived)
            admitted.append(arrived)
        return admitted

    def _at_once(self, raw: InputRecord) -> Arrived | None:
        """The ordinary case, a sound record of a known schema, without a coroutine per record."""
        try:
            record = self._codec.decode(raw.topic, raw.value)
            return Arrived(raw, self._inputs[raw.topic].partition_of(record, self._partitions), record)
        except Exception:
            return None

    async def _admit(self, raw: InputRecord) -> Arrived:
        try:
            record = await self._decode(raw)
            return Arrived(raw, self._inputs[raw.topic].partition_of(record, self._partitions), record)
        except MemoryError:  # says nothing about the record
            raise
        except Exception as exc:
            return Arrived(raw, self._partition, exc)

    async def _decode(self, raw: InputRecord) -> Record:
        while True:
            try:
                return self._codec.decode(raw.topic, raw.value)
            except SchemaNotLoaded as missing:
                self._waiting(f"the schema registry, for schema {missing.schema_id}")
                await self._codec.load_schema(missing.schema_id)
                self._waiting(None)

    async def _prepared(self, prepare: Prepare, arrived: Arrived) -> Arrived:
        assert isinstance(arrived.record, Record)
        pause_s = 0.1
        while True:
            try:
                prepared = await prepare(arrived.record)
            except Unreachable as exc:
                log.warning("%s; trying again in %.1f s", exc, pause_s)
                self._waiting(str(exc))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            except MemoryError:
                raise
            except Exception as exc:
                return Arrived(arrived.raw, arrived.home, exc)
            else:
                self._waiting(None)
                return Arrived(arrived.raw, arrived.home, prepared)
