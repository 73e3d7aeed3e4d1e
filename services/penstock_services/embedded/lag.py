"""How far each consumer group is behind: end offsets less committed offsets, as the brokers know them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from penstock.settings import KafkaSettings
from penstock_services.topic_admin import kafka_admin

_NOT_OURS = "apicurio-"
"""The registry joins with a new random group at every start and reads only its own topics."""


@dataclass(frozen=True, slots=True)
class GroupLag:
    """One group on one topic."""

    group: str
    topic: str
    lag: int
    """Offsets not committed yet, over all partitions. Transaction markers count, so an idle reader of a
    transactional topic may stay at one a partition."""


async def group_lags(settings: KafkaSettings) -> list[GroupLag]:
    """Every group's lag on every topic it has committed offsets for.

    Raises:
        KafkaUnreachable: no broker answered.
    """
    consumer = AIOKafkaConsumer(**settings.client_options())
    async with kafka_admin(settings) as admin:
        await consumer.start()
        try:
            names = sorted(group[0] for group in await admin.list_consumer_groups())
            lags = await asyncio.gather(
                *(_lags_of(name, admin, consumer) for name in names if not name.startswith(_NOT_OURS))
            )
        finally:
            await consumer.stop()
    return [lag for of_group in lags for lag in of_group]


async def _lags_of(group: str, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> list[GroupLag]:
    committed = await admin.list_consumer_group_offsets(group)
    ends: dict[object, int] = await consumer.end_offsets(list(committed))
    lags: dict[str, int] = {}
    for partition, position in committed.items():
        lags[partition.topic] = lags.get(partition.topic, 0) + max(0, ends[partition] - position.offset)
    return [GroupLag(group, topic, lag) for topic, lag in sorted(lags.items())]
