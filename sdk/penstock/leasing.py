"""Who holds an execution: the attempt from its events, the time from what was last said to its worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import UndecodableRecord
from penstock.followed import Terminal
from penstock.history import CLOCK_MARGIN_MS
from penstock.models import Lease
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_COMMANDS, EXECUTIONS_LEASES

LOOKS_BACK_MS = (60_000, 600_000)
"""How far back a holder's last sign of life is looked for: twice the default hold, then twice the classic one. A
partition carries the answers of many workers, so the second, dear look comes only where the first found none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The newest attempt of an execution, by its events."""

    epoch: int = 0
    worker_id: str | None = None
    """Who was granted it; None where it is over."""
    started_at_us: int = 0


@dataclass(frozen=True, slots=True)
class Sign:
    """Something the lease authority said to a worker, and when Kafka had it."""

    record: r.Record
    at_ms: int


class Leasing:
    """Looks leases up.

    Args:
        kafka: where the leases topic is.
        encoding: how it is read.
    """

    def __init__(self, kafka: KafkaConnection, encoding: Encoding) -> None:
        self._kafka = kafka
        self._encoding = encoding

    async def of(self, execution_id: str, records: Sequence[r.Record]) -> Lease:
        """The lease of one execution whose lifecycle so far is `records`."""
        attempt = newest_attempt(records)
        until_ms = None
        if attempt.worker_id is not None:
            until_ms = await self._until_ms(execution_id, attempt)
        now_ms = time.time_ns() // 1_000_000
        return Lease(
            execution_id=execution_id,
            is_locked=until_ms is not None and until_ms > now_ms,
            worker_id=attempt.worker_id,
            epoch=attempt.epoch,
            until=None if until_ms is None else _time(until_ms),
            as_of=_time(now_ms),
        )

    async def _until_ms(self, execution_id: str, attempt: Attempt) -> int | None:
        assert attempt.worker_id is not None, "only a running attempt has a lease"
        commands = (await self._kafka.partition_of(EXECUTIONS_COMMANDS, execution_id)).partition
        leases = await self._kafka.partition_of(EXECUTIONS_LEASES, attempt.worker_id)
        earliest_ms = attempt.started_at_us // 1000 - CLOCK_MARGIN_MS  # nothing was said about it before
        now_ms = time.time_ns() // 1_000_000
        for back_ms in LOOKS_BACK_MS:
            since_ms = max(now_ms - back_ms, earliest_ms, 0)
            signs = [sign async for sign in self._said_to(attempt.worker_id, leases, since_ms)]
            until_ms = lease_end_ms(signs, execution_id, attempt.epoch, commands)
            if until_ms is not None or since_ms == earliest_ms:
                return until_ms
        return None

    async def _said_to(self, worker_id: str, partition: TopicPartition, since_ms: int) -> AsyncIterator[Sign]:
        begin = await self._kafka.offset_at(partition, since_ms)
        end = (await self._kafka.end_offsets([partition]))[partition]
        if begin >= end:
            return
        needle = worker_id.encode()
        async with self._kafka.consumer_at({partition: begin}) as consumer:
            while await consumer.position(partition) < end:
                async with self._kafka.reaching("reading leases"):
                    found = await consumer.getmany(timeout_ms=100)
                for message in found.get(partition, ()):
                    if message.value is None or needle not in message.value:
                        continue
                    try:
                        record = await self._encoding.decode(partition.topic, message.value)
                    except UndecodableRecord:  # not the lease authority's: it says nothing about a lease
                        continue
                    if getattr(record, "worker_id", None) == worker_id:
                        yield Sign(record, message.timestamp)


def newest_attempt(records: Iterable[r.Record]) -> Attempt:
    """The attempt that runs after `records`, or the newest one that did."""
    newest = Attempt()
    for record in records:
        match record:
            case r.AttemptStarted():
                newest = Attempt(record.epoch, record.worker_id, record.occurred_at)
            case r.AttemptLost() | r.AttemptFailed() if record.epoch == newest.epoch:
                newest = Attempt(newest.epoch)
            case _ if isinstance(record, Terminal):
                return Attempt(newest.epoch)
    return newest


def lease_end_ms(signs: Iterable[Sign], execution_id: str, epoch: int, partition: int) -> int | None:
    """When a lease ends, by what was said to its worker, oldest first; None where nothing says so.

    Args:
        signs: what was said.
        execution_id: the execution.
        epoch: the attempt.
        partition: the commands partition the execution is in: a heartbeat renews what the worker holds of one.
    """
    until_ms: int | None = None
    for sign in signs:
        match sign.record:
            case r.LeaseGranted() as granted if (granted.execution_id, granted.epoch) == (execution_id, epoch):
                until_ms = sign.at_ms + granted.hold_ms
            case r.LeaseRevoked(reason="cancelled"):  # its worker holds it until it has reported the end
                pass
            case r.LeaseRevoked() as revoked if (revoked.execution_id, revoked.epoch) == (execution_id, epoch):
                return None
            case r.LeaseConfirmed() as confirmed if confirmed.partition == partition and confirmed.hold_ms:
                until_ms = sign.at_ms + confirmed.hold_ms
    return until_ms


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
