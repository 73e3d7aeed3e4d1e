"""What accounts answers, as it comes: one consumer for all races."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

from penstock.settings import KafkaSettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.topics import ACCOUNTS_EVENTS, EXECUTIONS_EVENTS

DEADLINE_S = 60


class Answers:
    """Decisions by tenant and execution, and answers to checks."""

    def __init__(self) -> None:
        self.admitted: dict[str, set[str]] = defaultdict(set)
        self.rejected: dict[str, dict[str, str]] = defaultdict(dict)
        """The reasons."""
        self.ended: dict[str, set[str]] = defaultdict(set)
        self._answer: dict[str, asyncio.Future[r.Record]] = {}
        self._changed = asyncio.Condition()

    def answer_to(self, name: str) -> asyncio.Future[r.Record]:
        """The BudgetChecked for that question, or the TenantConfigured for that tenant."""
        return self._answer.setdefault(name, asyncio.get_running_loop().create_future())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(condition)

    async def take(self, record: r.Record) -> None:
        match record:
            case r.ExecutionAdmitted() | r.ExecutionQueued():
                self.admitted[record.tenant_id].add(record.execution_id)
            case r.ExecutionRejected():
                self.rejected[record.tenant_id][record.execution_id] = record.reason
            case r.ExecutionCancelled():
                self.ended[record.tenant_id].add(record.execution_id)
            case r.BudgetChecked():
                self._resolve(record.asked_event_id, record)
            case r.TenantConfigured():
                self._resolve(record.tenant_id, record)
        async with self._changed:
            self._changed.notify_all()

    def _resolve(self, name: str, record: r.Record) -> None:
        waiting = self._answer.pop(name, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(record)


@asynccontextmanager
async def listening(kafka: KafkaSettings, codec: Codec) -> AsyncIterator[Answers]:
    """Everything accounts answers from now on."""
    consumer = AIOKafkaConsumer(
        ACCOUNTS_EVENTS.name,
        EXECUTIONS_EVENTS.name,
        **kafka.client_options(),
        isolation_level="read_committed",
        auto_offset_reset="latest",
        fetch_max_wait_ms=20,
    )
    answers = Answers()

    async def read() -> None:
        async for message in consumer:
            try:
                record = codec.decode(message.topic, message.value)
            except SchemaNotLoaded as exc:
                await codec.load_schema(exc.schema_id)
                record = codec.decode(message.topic, message.value)
            await answers.take(record)

    async with consumer:
        for partition in consumer.assignment():
            await consumer.position(partition)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            yield answers
            reading.cancel()
