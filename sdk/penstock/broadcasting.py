"""One command for every partition of a topic, in one Kafka transaction: all partitions have it or none has."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import CommandInterrupted
from penstock_schemas import records as r
from penstock_schemas.topics import ROUTED_BY_PARTITION, Topic


class Broadcasting:
    """Writes records that say which partition they are for to each partition of their topic."""

    def __init__(self, kafka: KafkaConnection, encoding: Encoding) -> None:
        self._kafka = kafka
        self._encoding = encoding

    async def write(self, topic: Topic, records: Sequence[r.Record]) -> list[TopicPartition]:
        """Write a copy of each record to every partition, in the order given; returns the partitions.

        There is one transactional id per topic, so that two such commands lie in the same order on every
        partition: the later writer fences the earlier one.

        1. All copies are encoded. A crash after this leaves nothing.
        2. A producer takes the transactional id over, which ends whatever another one had open. As above.
        3. The copies are sent and each acknowledgement is looked at. A crash after this leaves a transaction that
           the broker aborts, and readers never see.
        4. Commit. A crash while it is under way leaves the writer not knowing.

        Args:
            records: of types routed by their field `partition`, whatever it says.

        Raises:
            CommandInterrupted: another such command took over; nothing of this one was written.
            KafkaUnreachable: as `KafkaConnection.reaching`; where commit was under way, the message says so.
        """
        assert all(type(record) in ROUTED_BY_PARTITION for record in records), "a copy must name its partition"
        partitions = await self._kafka.partitions_of(topic)
        copies = [
            (to, topic.routing_key(copy).encode(), await self._encoding.encode(topic, copy))
            for to in partitions
            for copy in (record.model_copy(update={"partition": to.partition}) for record in records)
        ]
        try:
            await self._kafka.send_at_once(f"penstock-operator-{topic.name}", copies)
        except ProducerFenced as exc:
            raise CommandInterrupted(
                f"another operator's command to {topic.name} took over while this one was being written; "
                "nothing of it was written: run it again"
            ) from exc
        return partitions
