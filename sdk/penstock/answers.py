"""What accounts answers to a command, from a point on and for as long as somebody waits."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import UndecodableRecord
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_EVENTS

CONFIRMED_WITHIN_S = 15.0
"""Longer than it takes a new owner of a partition to take over."""


class Answers:
    """Reads the events of accounts."""

    def __init__(self, kafka: KafkaConnection, encoding: Encoding) -> None:
        self._kafka = kafka
        self._encoding = encoding

    async def ends(self, tenant_id: str | None = None) -> dict[TopicPartition, int]:
        """The ends of every partition, or of the one tenant's: what is answered from now on lies after them."""
        partitions = (
            await self._kafka.partitions_of(ACCOUNTS_EVENTS)
            if tenant_id is None
            else [await self._kafka.partition_of(ACCOUNTS_EVENTS, tenant_id)]
        )
        return await self._kafka.end_offsets(partitions)

    async def after(self, ends: Mapping[TopicPartition, int]) -> AsyncGenerator[r.Record]:
        """Every event after `ends`, until `CONFIRMED_WITHIN_S` have passed; then the caller gives up."""
        give_up_at_s = time.monotonic() + CONFIRMED_WITHIN_S
        async with self._kafka.consumer_at(dict(ends)) as consumer:
            while (left_s := give_up_at_s - time.monotonic()) > 0:
                for messages in (await consumer.getmany(timeout_ms=int(left_s * 1000))).values():
                    for message in messages:
                        if record := await self._decoded(message.value):
                            yield record

    async def _decoded(self, value: bytes | None) -> r.Record | None:
        try:
            return await self._encoding.decode(ACCOUNTS_EVENTS.name, value)
        except UndecodableRecord:
            return None  # the loader dead-letters it
