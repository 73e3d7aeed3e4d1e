"""What becomes of a record that cannot be loaded: a dead letter with its coordinates, its bytes and why."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import AIOKafkaProducer, ConsumerRecord

from penstock_schemas.codec import Codec
from penstock_schemas.ids import derived_id
from penstock_schemas.records import SYSTEM_TENANT, DeadLetter
from penstock_schemas.topics import DEAD_LETTERS

KEPT_BYTES = 64 * 1024
"""Of the value, of the key, and of all headers together: a dead letter always fits into a record."""
KEPT_MESSAGE_CHARS = 2_000


def dead_letter_of(
    source: ConsumerRecord[bytes, bytes], error: Exception, tenant_id: str = SYSTEM_TENANT
) -> DeadLetter:
    """The dead letter of `source`. Its id derives from the coordinates, so a repeat is the same one."""
    value = source.value
    message = (
        str(error)[:KEPT_MESSAGE_CHARS].encode("utf-8", "replace").decode()
    )  # a lone surrogate has no Avro form
    return DeadLetter(
        event_id=derived_id("dead-letter", "loader", source.topic, source.partition, source.offset),
        tenant_id=tenant_id,
        source_topic=source.topic,
        source_partition=source.partition,
        source_offset=source.offset,
        source_timestamp=max(source.timestamp, 0) * 1000,
        key=None if source.key is None else bytes(source.key[:KEPT_BYTES]),
        value=None if value is None else bytes(value[:KEPT_BYTES]),
        value_size=len(value or b""),
        headers=_kept_headers(source.headers),
        error_code=str(getattr(error, "code", None) or type(error).__name__),
        error_message=message,
        stage="loader",
    )


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


def _kept_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes]:
    kept: dict[str, bytes] = {}
    room = KEPT_BYTES
    for name, value in headers:
        room -= len(name.encode()) + len(value or b"")
        if room < 0:
            break
        kept[name] = value or b""
    return kept
