"""What accounts answers to a command, from a point on and for as long as somebody waits."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.event_tail import CONFIRMED_WITHIN_S, EventTail
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_EVENTS

__all__ = ["CONFIRMED_WITHIN_S", "Answers"]


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
        tail = EventTail(self._kafka, self._encoding, ACCOUNTS_EVENTS)
        async with aclosing(tail.read(ends, time.monotonic() + CONFIRMED_WITHIN_S)) as records:
            async for record in records:
                if record is not None:
                    yield record
