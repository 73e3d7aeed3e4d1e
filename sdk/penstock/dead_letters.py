"""Records that could not be used: looking at them, and giving them back."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import InvalidInput, UndecodableRecord
from penstock.models import DeadLetterEntry, Replay
from penstock.reading import Reading
from penstock_schemas.topics import topic_named

REPLAY_HEADER = "penstock-replay-of"
"""Names the dead letter on a replayed record."""


class DeadLetters:
    """One client's view of the dead letters."""

    def __init__(self, kafka: KafkaConnection, encoding: Encoding, reading: Reading) -> None:
        self._kafka = kafka
        self._encoding = encoding
        self._reading = reading

    async def list(self, limit: int = 50) -> Sequence[DeadLetterEntry]:
        """The newest, as far as ClickHouse has loaded them."""
        return await self._reading.dead_letters(limit)

    async def get(self, event_id: str) -> DeadLetterEntry:
        """One by its id; raises `NotFound`."""
        return await self._reading.dead_letter(event_id)

    async def replay(self, event_id: str) -> Replay:
        """Write a dead letter's bytes to the topic they came from, once more, after its cause was mended.

        Where the bytes can be decoded now, they go to the partition their value belongs to, else to the one they
        were on. The record comes at the end of the partition, so replay what must be in order in that order.

        Raises:
            NotFound: no such dead letter is loaded.
            InvalidInput: the bytes are not all there.
        """
        letter = await self._reading.dead_letter(event_id)
        if letter.value is None:
            raise InvalidInput(f"dead letter {event_id} had no value; there is nothing to replay")
        if not letter.complete:
            raise InvalidInput(
                f"dead letter {event_id} holds {len(letter.value)} of {letter.value_size} bytes, so it cannot be "
                f"replayed; its sender must send it again ({letter.source_topic}, partition "
                f"{letter.source_partition}, offset {letter.source_offset})"
            )
        to = await self._partition_for(letter, letter.value)
        headers = letter.headers | {REPLAY_HEADER: event_id.encode()}
        offset = await self._kafka.send(to, letter.value, key=letter.key, headers=headers)
        return Replay(event_id=event_id, topic=to.topic, partition=to.partition, offset=offset)

    async def _partition_for(self, letter: DeadLetterEntry, value: bytes) -> TopicPartition:
        topic = topic_named(letter.source_topic)
        try:
            record = await self._encoding.decode(topic.name, value)
        except UndecodableRecord:
            return TopicPartition(topic.name, letter.source_partition)
        return await self._kafka.partition_for_record(topic, record)
