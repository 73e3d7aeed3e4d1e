"""The events of one topic as they come, for a caller that waits for one of them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import UndecodableRecord
from penstock_schemas import records as r
from penstock_schemas.topics import Topic

CONFIRMED_WITHIN_S = 15.0
"""Longer than it takes a new owner of a partition to take over: how long what was asked for may go unanswered."""
LOOKS_AGAIN_S = 1.0
"""How often an answer that may lie in the past is looked for there."""
SILENCE_S = 15.0
"""After this long without a record the cluster is asked for its end offsets: a dead one is then noticed."""


class EventTail(NamedTuple):
    """Reads one client's events of `topic`."""

    kafka: KafkaConnection
    encoding: Encoding
    topic: Topic

    async def read(
        self, positions: Mapping[TopicPartition, int], give_up_at_s: float | None, until: int | None = None
    ) -> AsyncGenerator[r.Record | None, None]:
        """Events from `positions` on, None after each wait in vain. What cannot be decoded is the loader's.

        Args:
            positions: the first offset of each partition.
            give_up_at_s: on the monotonic clock, when to end; None never.
            until: end once every partition has been read up to this offset.

        Raises:
            KafkaUnreachable: the cluster has gone.
        """
        heard_at_s = time.monotonic()
        async with self.kafka.consumer_at(positions) as consumer:
            while give_up_at_s is None or (left_s := give_up_at_s - time.monotonic()) > 0:
                wait_s = LOOKS_AGAIN_S if give_up_at_s is None else min(LOOKS_AGAIN_S, left_s)
                batches = await consumer.getmany(timeout_ms=int(wait_s * 1000))
                for messages in batches.values():
                    for message in messages:
                        try:
                            yield await self.encoding.decode(self.topic.name, message.value)
                        except UndecodableRecord:
                            continue
                if batches:
                    heard_at_s = time.monotonic()
                else:
                    yield None
                    if time.monotonic() - heard_at_s > SILENCE_S:
                        await self.kafka.end_offsets(list(positions))
                        heard_at_s = time.monotonic()
                if until is not None and all([await consumer.position(each) >= until for each in positions]):
                    return
