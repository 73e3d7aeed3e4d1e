"""The executions side, scripted: another process in production, so here a peer that speaks the same records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock.settings import KafkaSettings, RegistrySettings
from penstock_consumers.worker.worker import Worker
from penstock_schemas import records as r
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.topics import (
    ACCOUNTS_COMMANDS,
    DEAD_LETTERS,
    EXECUTIONS_COMMANDS,
    EXECUTIONS_LEASES,
    EXECUTIONS_PROGRESS,
    Topic,
    dispatch_topic,
)
from penstock_schemas.traces import TraceContext, trace_of

QUEUE = "worker-tests"
WAIT_S = 40.0
"""A deadline for things that take a second on a quiet machine."""
WATCHED = (EXECUTIONS_COMMANDS, EXECUTIONS_PROGRESS, ACCOUNTS_COMMANDS, DEAD_LETTERS)
T = TypeVar("T", bound=r.Record)


@dataclass(frozen=True)
class Platform:
    """Where everything is."""

    kafka: KafkaSettings
    registry: RegistrySettings
    codec: Codec
    artifacts: Path


@dataclass
class Seen:
    """One record somebody wrote, and when Kafka took it."""

    record: r.Record
    appended_ms: int
    trace: TraceContext | None


@dataclass
class LeaseAuthority:
    """Answers claims and heartbeats as told, and remembers everything written."""

    platform: Platform
    on_claim: Literal["grant", "deny", "ignore"] = "grant"
    confirm: bool = True
    hold_ms: int = 5_000
    seen: list[Seen] = field(default_factory=list)

    async def __aenter__(self) -> LeaseAuthority:
        options = self.platform.kafka.client_options()
        self._producer = AIOKafkaProducer(**options)
        self._consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, fetch_max_wait_ms=10)
        await self._producer.start()
        await self._consumer.start()
        self._counts = {t.name: len(await self._producer.partitions_for(t.name)) for t in self._topics}
        self._consumer.assign([TopicPartition(t.name, n) for t in WATCHED for n in range(self._counts[t.name])])
        await self._consumer.seek_to_end()
        for partition in self._consumer.assignment():
            await self._consumer.position(partition)
        for topic in (EXECUTIONS_LEASES, dispatch_topic(QUEUE)):
            await self.platform.codec.prepare_writers([topic])
        self._changed = asyncio.Condition()
        self._answering = asyncio.create_task(self._answer())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._answering.cancel()
        await self._consumer.stop()
        await self._producer.stop()

    @property
    def _topics(self) -> tuple[Topic, ...]:
        return (*WATCHED, EXECUTIONS_LEASES, dispatch_topic(QUEUE))

    async def dispatch(self, agent_type: str, trace: TraceContext | None = None, **fields: Any) -> str:
        """Dispatch a new execution, as part of a trace; returns its id."""
        execution_id = str(uuid4())
        defaults: dict[str, Any] = {"input": "hello", "timeout_s": 60, "epoch": 1, "dispatch_seq": 1}
        record = r.ExecutionDispatched(
            tenant_id="acme",
            execution_id=execution_id,
            request_id=execution_id,
            agent_type=agent_type,
            queue=QUEUE,
            **defaults | fields,
        )
        await self.send(dispatch_topic(QUEUE), record, trace)
        return execution_id

    async def send(self, topic: Topic, record: r.Record, trace: TraceContext | None = None) -> None:
        value = self.platform.codec.encode(
            topic.name, record, event_id=str(uuid4()), occurred_at=time.time_ns() // 1000
        )
        await self.send_bytes(topic, value, topic.partition_of(record, self._counts[topic.name]), trace)

    async def send_bytes(
        self, topic: Topic, value: bytes, partition: int, trace: TraceContext | None = None
    ) -> None:
        headers = list(trace.headers()) if trace else None
        await self._producer.send_and_wait(topic.name, value, partition=partition, headers=headers)

    async def revoke(self, claim: r.ClaimLease, reason: str = "stale_epoch") -> None:
        await self.send(EXECUTIONS_LEASES, lease(r.LeaseRevoked, claim, reason=reason))

    async def grant(self, claim: r.ClaimLease) -> None:
        granted = lease(
            r.LeaseGranted,
            claim,
            claim_id=claim.claim_id,
            hold_ms=self.hold_ms,
            deadline_at=time.time_ns() // 1000,
        )
        await self.send(EXECUTIONS_LEASES, granted)

    def all(self, record_type: type[T], execution_id: str | None = None) -> list[T]:
        """Everything of that type seen so far, in the order of its partition."""
        return [
            s.record
            for s in self.seen
            if isinstance(s.record, record_type)
            if execution_id is None or getattr(s.record, "execution_id", None) == execution_id
        ]

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition over what was seen; returns its value."""
        try:
            async with asyncio.timeout(WAIT_S), self._changed:
                while not (value := condition()):
                    await self._changed.wait()
                return value
        except TimeoutError:
            kinds = [type(s.record).__name__ for s in self.seen]
            raise AssertionError(f"{what} did not happen within {WAIT_S} s; seen: {kinds}") from None

    async def finished(self, execution_id: str) -> r.FinishAttempt:
        """Wait for the attempt's FinishAttempt."""
        found: list[r.FinishAttempt] = await self.until(
            lambda: self.all(r.FinishAttempt, execution_id), f"FinishAttempt of {execution_id}"
        )
        return found[0]

    async def pid_of(self, execution_id: str) -> int:
        """Wait until an agent that reports its process as progress has done so."""
        told = await self.until(lambda: self.all(r.ProgressReported, execution_id), "progress")
        return int(told[0].message)

    async def _answer(self) -> None:
        async for found in self._consumer:
            while True:
                try:
                    record = self.platform.codec.decode(found.topic, found.value)
                    break
                except SchemaNotLoaded as exc:
                    await self.platform.codec.load_schema(exc.schema_id)
            async with self._changed:
                self.seen.append(Seen(record, found.timestamp, trace_of(found.headers)))
                self._changed.notify_all()
            if isinstance(record, r.ClaimLease) and self.on_claim == "grant":
                await self.grant(record)
            elif isinstance(record, r.ClaimLease) and self.on_claim == "deny":
                denied = lease(r.LeaseDenied, record, claim_id=record.claim_id, reason="held")
                await self.send(EXECUTIONS_LEASES, denied)
            elif isinstance(record, r.Heartbeat) and self.confirm:
                assert found.partition == record.partition
                confirmed = r.LeaseConfirmed(
                    tenant_id=r.SYSTEM_TENANT,
                    worker_id=record.worker_id,
                    partition=record.partition,
                    heartbeat_seq=record.heartbeat_seq,
                )
                await self.send(EXECUTIONS_LEASES, confirmed)


def lease(record_type: type[T], claim: r.ClaimLease, **fields: Any) -> T:
    return record_type(
        tenant_id=claim.tenant_id,
        execution_id=claim.execution_id,
        epoch=claim.epoch,
        worker_id=claim.worker_id,
        **fields,
    )


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    """Serve until the body ends, then drain."""
    serving = asyncio.create_task(worker.serve())
    try:
        await until(lambda: worker.not_ready() is None or serving.done(), "the worker is ready")
        yield
    finally:
        worker.drain()
        async with asyncio.timeout(WAIT_S):
            await serving


async def until(condition: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
    """Wait for something that only polling can see, such as the end of a process."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.01)


def exists(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
