"""Dead letters of records that cannot be loaded, acknowledged before their source's offset is committed."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

from penstock_schemas.codec import Codec
from penstock_schemas.records import DeadLetter
from penstock_schemas.topics import DEAD_LETTERS


async def send_dead_letters(
    producer: AIOKafkaProducer, codec: Codec, letters: Iterable[DeadLetter], *, occurred_at: int
) -> None:
    """Produce `letters`; returns once every one is acknowledged.

    Args:
        occurred_at: microseconds.

    Raises:
        KafkaError: one of them was not acknowledged.
    """
    sends = []
    partitions = len(await producer.partitions_for(DEAD_LETTERS.name))
    for letter in letters:
        value = codec.encode(DEAD_LETTERS.name, letter, occurred_at=occurred_at)
        partition = DEAD_LETTERS.partition_of(letter, partitions)
        key = DEAD_LETTERS.routing_key(letter).encode()
        sends.append(await producer.send(DEAD_LETTERS.name, value, key=key, partition=partition))
    for sent in sends:
        await sent
