"""The inputs of one task: a plain reader per input partition, positioned by us, never by a group.

One aiokafka consumer each, because a consumer has one fetch in flight per broker: an idle input's long poll
would hold back its busy neighbour.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock_services.consuming import read_up_to
from penstock_streams.kit._lenient import read_leniently

log = logging.getLogger("penstock.streams")

FETCH_WAIT_MS = 500


class InputRecord(Protocol):
    """A Kafka record as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class TaskInputs:
    """Reads committed records of one or two partitions, in turn, so that neither starves the other.

    Args:
        partitions: one per input topic.
    """

    def __init__(self, partitions: Sequence[TopicPartition], client_options: Mapping[str, Any]) -> None:
        self._order = list(partitions)
        self._client_options = dict(client_options)
        self._readers: dict[TopicPartition, AIOKafkaConsumer] = {}

    async def __aenter__(self) -> TaskInputs:
        options = self._client_options | {"enable_auto_commit": False, "auto_offset_reset": "none"}
        self._ends = AIOKafkaConsumer(**options)
        for partition in self._order:
            self._readers[partition] = AIOKafkaConsumer(
                **options, isolation_level="read_committed", fetch_max_wait_ms=FETCH_WAIT_MS
            )
        await asyncio.gather(*(reader.start() for reader in (self._ends, *self._readers.values())))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(reader.stop() for reader in (self._ends, *self._readers.values())))

    async def begin_offsets(self) -> dict[str, int]:
        """Log start by topic."""
        return _by_topic(await self._ends.beginning_offsets(self._order))

    async def end_offsets(self) -> dict[str, int]:
        """The end by topic, open transactions included: what they hide may be what a timer waits for."""
        return _by_topic(await self._ends.end_offsets(self._order))

    def seek(self, next_offsets: Mapping[str, int]) -> None:
        """Start reading at these offsets, by topic."""
        for partition, reader in self._readers.items():
            reader.assign([partition])
            reader.seek(partition, next_offsets[partition.topic])

    async def take(self, at_most: int, wait_s: float) -> list[InputRecord]:
        """What is there, up to `at_most` records; waits up to `wait_s` for the first."""
        self._order.append(self._order.pop(0))
        taken: list[InputRecord] = []
        for partition in self._order:
            if len(taken) < at_most:
                taken += await self._read(partition, at_most - len(taken), 0)
        return taken or await self._wait(at_most, wait_s)

    async def have_read(self, ends: Mapping[str, int]) -> bool:
        """Whether everything before `ends` (by topic) has been taken."""
        for partition, reader in self._readers.items():
            if await reader.position(partition) < ends[partition.topic]:
                return False
        return True

    def read_up_to(self) -> Iterator[tuple[TopicPartition, int, int]]:
        """Partition, next offset and known end of each input that has been read from."""
        for reader in self._readers.values():
            yield from read_up_to(reader)

    async def _wait(self, at_most: int, wait_s: float) -> list[InputRecord]:
        if len(self._order) == 1:
            return await self._read(self._order[0], at_most, wait_s)
        reads = [
            asyncio.create_task(self._read(partition, at_most // 2 or 1, wait_s)) for partition in self._order
        ]
        try:
            done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for read in reads:  # a cancelled read has taken nothing: records leave the buffer as it returns
                read.cancel()
        return [raw for read in done for raw in read.result()]

    async def _read(self, partition: TopicPartition, at_most: int, wait_s: float) -> list[InputRecord]:
        reader = self._readers[partition]
        try:
            found = await reader.getmany(partition, timeout_ms=int(wait_s * 1000), max_records=at_most)
        except UnicodeDecodeError as exc:
            log.warning("%s: a header name is not UTF-8 (%s): reading it with that name escaped", partition, exc)
            return await read_leniently(reader, partition)
        records: list[InputRecord] = found.get(partition, [])
        return records


def _by_topic(offsets: Mapping[TopicPartition, int]) -> dict[str, int]:
    return {partition.topic: offset for partition, offset in offsets.items()}
