"""Reading the lease authority's answers to this worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.settings import KafkaSettings
from penstock_consumers.worker.kafka import reach
from penstock_consumers.worker.outbox import Outbox
from penstock_schemas import records as r
from penstock_schemas.routing import partition_for
from penstock_schemas.topics import EXECUTIONS_LEASES
from penstock_services.consuming import Standing, read_up_to

LeaseAnswer = r.LeaseGranted | r.LeaseDenied | r.LeaseRevoked | r.LeaseConfirmed


class LeaseFeed:
    """This worker's own partition of the leases topic, in no group, from its end at start.

    Args:
        worker_id: whose answers; others that share the partition are skipped.
        outbox: decodes, and knows the partition count.
    """

    def __init__(self, worker_id: str, settings: KafkaSettings, outbox: Outbox) -> None:
        self._worker_id = worker_id
        self._settings = settings
        self._outbox = outbox
        self._consumer = AIOKafkaConsumer(
            **settings.client_options(),
            group_id=None,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )

    async def start(self, wait_s: float) -> None:
        """Stand at the end: whatever is answered from now on will be read.

        Raises:
            KafkaUnreachable: not within `wait_s`.
        """
        await reach("reading leases", self._settings, wait_s, self._consumer.start)
        partitions = self._outbox.partitions(EXECUTIONS_LEASES)
        own = TopicPartition(EXECUTIONS_LEASES.name, partition_for(self._worker_id, partitions))
        self._consumer.assign([own])
        await self._consumer.seek_to_end(own)
        await self._consumer.position(own)  # seeking is lazy: this makes it happen before the first claim

    async def stop(self) -> None:
        await self._consumer.stop()

    def standings(self) -> Iterator[Standing]:
        """How far the answers are read."""
        for (topic, partition), read_to, end in read_up_to(self._consumer):
            yield Standing("worker", topic, partition, read_to, end - read_to)

    async def answers(self) -> AsyncIterator[LeaseAnswer]:
        """Everything said to this worker, in order, without end."""
        async for found in self._consumer:
            record = await self._outbox.decode(found)
            if isinstance(record, LeaseAnswer) and record.worker_id == self._worker_id:
                yield record
