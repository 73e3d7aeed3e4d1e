"""Reading records whose header names are not UTF-8, which aiokafka cannot: it would fail on them for ever.

Any producer in C may write such a name, and the broker accepts it. Used only for the fetch that failed; the name
comes out with its odd bytes escaped. Internals of aiokafka, whose version `_faust.check_faust` pins.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

FETCH_BYTES = 1024 * 1024


async def read_leniently(reader: AIOKafkaConsumer, partition: TopicPartition) -> list[Any]:
    """The committed records of one fetch at the position of `reader`, which is moved behind them."""
    position = await reader.position(partition)
    client = reader._client
    request = FetchRequest(
        0, 1, FETCH_BYTES, READ_COMMITTED, [(partition.topic, [(partition.partition, position, FETCH_BYTES)])]
    )
    response = await client.send(client.cluster.leader_for_partition(partition), request)
    ((_, ((_, code, _, *rest),)),) = response.topics
    if code:
        raise for_code(code)(partition)
    aborted = rest[2] if response.API_VERSION >= 11 else rest[-2]
    records = PartitionRecords(partition, _Records(rest[-1]), aborted, position, None, None, True, READ_COMMITTED)
    found = list(records)
    reader.seek(partition, records.next_fetch_offset)
    return found


class _Bytes(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        return _Bytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self).decode(encoding, "backslashreplace")


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def __iter__(self) -> Any:
        batch = super().__iter__()
        self._buffer: bytearray = _Bytes(self._buffer)
        return batch


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self) -> Any:
        batch = _Batch(self._next_slice)
        self._cache_next()
        return batch
