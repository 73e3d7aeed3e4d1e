"""Which partition a record belongs to: murmur2 of its routing key, as Kafka's own Java clients compute it.

Routing is by the value, never by the record's key: librdkafka's default partitioner (CRC32) and the Java one
agree on few keys, so an outside producer may put a tenant's record on any partition. A stage forwards what
is not its own.
"""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=8_192)  # 1.6 MiB: the records of a run follow one another within seconds
def partition_for(routing_key: str, partitions: int) -> int:
    """Partition of `routing_key` among `partitions`; cached because aiokafka's murmur2 costs 4 µs a key."""
    return int(murmur2(routing_key.encode()) & 0x7FFFFFFF) % partitions
