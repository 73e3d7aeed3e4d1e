"""One task's transactional producer: whole batches to explicit partitions, every future checked."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from penstock_streams.kit._faults import crash_point
from penstock_streams.kit.batch import Message
from penstock_streams.kit.clock import BrokerClock, boottime_us

log = logging.getLogger("penstock.streams")

BATCH_BYTES = 768 * 1024
"""Below every topic's 1 MiB: aiokafka checks no limit on batches that are sent whole."""
MESSAGE_OVERHEAD_BYTES = 64
"""Framing of one record in a batch; generous."""
RETRY_BACKOFF_MS = 20
"""aiokafka waits this long while the markers of the transaction before are being written."""
REQUEST_TIMEOUT_MS = 20_000
STOP_TIMEOUT_S = 5.0
LOG_APPEND_TIME = 1
"""As a broker says that a timestamp is its own."""

Batches = Mapping[tuple[str, int], Sequence[Message]]
_Sent = tuple[asyncio.Future[RecordMetadata], int]
"""What became of a batch, and how many records it has."""


class TransactionalProducer:
    """Commits batches under one transactional id; after any error it is useless, and so is its process.

    Args:
        client_options: address and security, for aiokafka.
        batch_bytes: by topic, the largest batch to send; default `BATCH_BYTES`.
        clock: learns from what the brokers stamp.
        renewal_records: see `StreamsSettings.producer_renewal_records`.
    """

    def __init__(
        self,
        transactional_id: str,
        group_id: str,
        client_options: Mapping[str, Any],
        *,
        transaction_timeout_s: float,
        batch_bytes: Mapping[str, int],
        renewal_records: int,
        clock: BrokerClock,
    ) -> None:
        self._options = dict(client_options) | {
            "transactional_id": transactional_id,
            "acks": "all",
            "transaction_timeout_ms": int(transaction_timeout_s * 1000),
            "max_batch_size": BATCH_BYTES,
            "retry_backoff_ms": RETRY_BACKOFF_MS,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
        }
        self.transactional_id = transactional_id
        self._group_id = group_id
        self._batch_bytes = batch_bytes
        self._renewal_records = renewal_records
        self._clock = clock
        self._producer: AIOKafkaProducer | None = None
        self._sent: Counter[TopicPartition] = Counter()

    async def start(self) -> None:
        """Fence whoever held the transactional id before, and end the transaction it may have left open."""
        self._sent.clear()
        self._producer = AIOKafkaProducer(**self._options)
        await self._producer.start()

    async def renew_if_worn(self) -> None:
        """Between transactions: a fresh sequence, long before aiokafka's overflows."""
        if max(self._sent.values(), default=0) < self._renewal_records:
            return
        log.info(
            "%s: new producer after %d records on one partition", self.transactional_id, max(self._sent.values())
        )
        await self.stop()
        await self.start()

    async def send(self, batches: Batches) -> dict[TopicPartition, int]:
        """Begin a transaction and write `batches` into it.

        Returns:
            The offset after the last record written to each partition.

        Raises:
            KafkaError: the broker refused a record, or fenced this producer.
        """
        assert self._producer is not None
        await self._producer.begin_transaction()
        crash_point("begun")
        sent_us = boottime_us()
        sending = [self._send(TopicPartition(*target), messages) for target, messages in batches.items()]
        sent = [batch for batches in await asyncio.gather(*sending) for batch in batches]
        await self._producer.flush()
        crash_point("flushed")
        return await self._check(sent, sent_us)

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the transaction, with `next_offsets` of the group if there are any."""
        assert self._producer is not None
        if next_offsets:
            await self._producer.send_offsets_to_transaction(dict(next_offsets), self._group_id)
        crash_point("before_commit")
        await self._producer.commit_transaction()

    async def stop(self) -> None:
        """Give up the connection; an open transaction is left to the next owner's fencing."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        try:
            await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)
        except Exception as exc:  # fenced, or the broker is gone: nothing of ours depends on it
            log.info("%s: producer did not stop cleanly: %r", self.transactional_id, exc)

    async def _check(self, sent: Sequence[_Sent], sent_us: int) -> dict[TopicPartition, int]:
        """Not optional: aiokafka commits a transaction one of whose batches was refused."""
        ends: dict[TopicPartition, int] = {}
        acknowledged_us = boottime_us()
        for future, count in sent:
            metadata = await future
            ends[metadata.topic_partition] = metadata.offset + count
            if metadata.timestamp_type == LOG_APPEND_TIME:
                self._clock.stamped(metadata.timestamp * 1000, sent_us, acknowledged_us)
        return ends

    async def _send(self, target: TopicPartition, messages: Sequence[Message]) -> list[_Sent]:
        limit = self._batch_bytes.get(target.topic, BATCH_BYTES)
        sent: list[_Sent] = []
        start, size = 0, 0
        for index, message in enumerate(messages):
            more = MESSAGE_OVERHEAD_BYTES + message.size()
            if size and size + more > limit:
                sent.append(await self._send_batch(target, messages[start:index]))
                start, size = index, 0
            size += more
        sent.append(await self._send_batch(target, messages[start:]))
        self._sent[target] += len(messages)
        return sent

    async def _send_batch(self, target: TopicPartition, messages: Sequence[Message]) -> _Sent:
        assert self._producer is not None
        batch = self._producer.create_batch()
        for message in messages:
            taken = batch.append(
                timestamp=None, key=message.key, value=message.value, headers=list(message.headers)
            )
            assert taken is not None, f"a batch for {target} is full though it was measured"
        batch.close()
        return await self._producer.send_batch(batch, target.topic, partition=target.partition), len(messages)
