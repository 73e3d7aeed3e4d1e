"""The caller's trace, by the SDK and both stages on a real broker, up to the worker's door and to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from opentelemetry import trace

from penstock.artifacts import ArtifactStore
from penstock.client import Client
from penstock.settings import KafkaSettings, RegistrySettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import (
    DEFAULT_QUEUE,
    EXECUTIONS_COMMANDS,
    EXECUTIONS_EVENTS,
    all_topics,
    dispatch_topic,
)
from penstock_schemas.traces import TraceContext, trace_of
from penstock_services.topic_admin import apply_topics
from penstock_services.tracing import position_of
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.wiring import accounts_stage
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.executions.wiring import executions_stage
from penstock_streams.kit import StageRunner, StreamsSettings
from tests.fixtures.kafka import own_kafka
from tests.fixtures.tracing import Spans

pytestmark = pytest.mark.integration
PARTITIONS = 2
DEADLINE_S = 40.0
TIMES = LeaseTimes(hold_us=90_000_000, retry_first_us=20_000)
"""So long that a machine that stands still for seconds loses neither a lease nor a transaction."""
T = TypeVar("T", bound=r.Record)


class Stages:
    """Both stages, a client, and a hand in place of the worker."""

    def __init__(self, kafka: KafkaSettings, registry_url: str, codec: Codec, runner: StageRunner) -> None:
        self.codec = codec
        self._runner = runner
        self.client = Client(kafka=kafka, registry=RegistrySettings(url=registry_url))
        self._options = kafka.client_options()
        self.seen: list[tuple[r.Record, TraceContext | None]] = []

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Stages]:
        watched = (EXECUTIONS_EVENTS, dispatch_topic(DEFAULT_QUEUE))
        async with (
            AIOKafkaConsumer(**self._options, isolation_level="read_committed", fetch_max_wait_ms=10) as consumer,
            AIOKafkaProducer(**self._options) as self._producer,
            self.client,
        ):
            consumer.assign([TopicPartition(each.name, n) for each in watched for n in range(PARTITIONS)])
            await consumer.seek_to_beginning()
            self._reading = asyncio.create_task(self._read(consumer))
            yield self
            self._reading.cancel()

    async def worker_says(self, record: r.Record, headers: Any = ()) -> None:
        value = self.codec.encode(
            EXECUTIONS_COMMANDS.name, record, event_id=str(uuid4()), occurred_at=time.time_ns() // 1000
        )
        partition = EXECUTIONS_COMMANDS.partition_of(record, PARTITIONS)
        where = {"partition": partition, "headers": list(headers)}
        await self._producer.send_and_wait(EXECUTIONS_COMMANDS.name, value, **where)

    async def until(
        self, kind: type[T], execution_id: str, holds: Callable[[T], bool] = lambda _: True
    ) -> tuple[T, TraceContext | None]:
        """The first record of its kind about an execution, and the trace it came with."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for record, where in self.seen:
                about_it = getattr(record, "execution_id", "") == execution_id
                if about_it and isinstance(record, kind) and holds(record):
                    return record, where
            if self._reading.done():
                self._reading.result()
            kinds = [type(record).__name__ for record, _ in self.seen]
            assert time.monotonic() < deadline, f"no {kind.__name__} among {kinds}; stages: {self._runner.ready()}"
            await asyncio.sleep(0.02)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        async for found in consumer:
            await self.codec.load_schema(int.from_bytes(found.value[1:5], "big"))
            self.seen.append((self.codec.decode(found.topic, found.value), trace_of(found.headers)))


@pytest.fixture(scope="module")
async def stages(tmp_path_factory: pytest.TempPathFactory, registry_url: str) -> AsyncIterator[Stages]:
    folder: Path = tmp_path_factory.mktemp("traced")
    async with own_kafka(folder) as broker, SchemaRegistry(registry_url) as registry:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap)
        topics = all_topics((DEFAULT_QUEUE,)).values()
        await apply_topics(kafka, topics, PARTITIONS)
        await registry.register_all(topics)
        codec = Codec(registry)
        await codec.prepare_writers(topics)
        declared = (
            accounts_stage(Policy(), ArtifactStore(folder.as_uri())),
            executions_stage(TIMES, frozenset({DEFAULT_QUEUE})),
        )
        settings = StreamsSettings(
            store="memory", data_dir=folder / "streams", session_timeout_s=30, transaction_timeout_s=60
        )
        async with (
            StageRunner(declared, settings, codec, kafka=kafka) as runner,
            Stages(kafka, registry_url, codec, runner).watching() as stages,
        ):
            yield stages


def claim(dispatch: r.ExecutionDispatched) -> r.ClaimLease:
    return r.ClaimLease(
        tenant_id="acme",
        execution_id=dispatch.execution_id,
        epoch=dispatch.epoch,
        claim_id=f"c{dispatch.epoch}",
        worker_id="by hand",
    )


def finish(dispatch: r.ExecutionDispatched, status: str, **fields: Any) -> r.FinishAttempt:
    return r.FinishAttempt(
        tenant_id="acme",
        execution_id=dispatch.execution_id,
        epoch=dispatch.epoch,
        worker_id="by hand",
        status=status,
        last_seq=0,
        **fields,
    )


async def test_the_callers_trace_reaches_the_dispatch_and_the_end_also_after_a_retry(
    stages: Stages, spans: Spans
) -> None:
    """The worker here sends no headers, so what comes after it is known from the request alone."""
    with trace.get_tracer("tests").start_as_current_span("the caller"):
        execution = (await stages.client.submit("echo", "hello", tenant="acme")).execution_id
    caller, sent = spans.one("the caller"), spans.one("send penstock.accounts.requests.v1")
    assert sent.parent is not None
    assert sent.parent.span_id == caller.context.span_id
    expected = position_of(trace.NonRecordingSpan(sent.context))
    assert expected is not None
    assert int(expected.trace_id, 16) == caller.context.trace_id

    first, where = await stages.until(r.ExecutionDispatched, execution)
    assert where == expected
    await stages.worker_says(claim(first))
    await stages.worker_says(finish(first, "failed", error_type="Busy", error_message="later", retryable=True))
    second, where = await stages.until(r.ExecutionDispatched, execution, lambda each: each.epoch == 2)
    assert where == expected
    await stages.worker_says(claim(second))
    await stages.worker_says(finish(second, "completed", output="done"))
    for kind in r.ExecutionAdmitted, r.AttemptStarted, r.AttemptFailed, r.ExecutionCompleted:
        assert (await stages.until(kind, execution))[1] == expected


async def test_the_end_hangs_below_the_span_of_the_run_where_the_worker_names_it(
    stages: Stages, spans: Spans
) -> None:
    execution = (await stages.client.submit("echo", "hello", tenant="acme")).execution_id
    dispatch, where = await stages.until(r.ExecutionDispatched, execution)
    assert where is not None
    run = TraceContext(f"00-{where.trace_id}-{'5' * 16}-01")
    await stages.worker_says(claim(dispatch))
    await stages.worker_says(finish(dispatch, "completed", output="done"), headers=run.headers())
    assert (await stages.until(r.ExecutionCompleted, execution))[1] == run


async def test_each_transaction_with_a_recorded_trace_is_a_span(stages: Stages, spans: Spans) -> None:
    with trace.get_tracer("tests").start_as_current_span("the caller"):
        execution = (await stages.client.submit("echo", "hello", tenant="acme")).execution_id
    await stages.until(r.ExecutionDispatched, execution)
    caller = spans.one("the caller")
    for stage in "accounts", "executions":
        done = spans.named(f"process {stage}")
        assert caller.context.trace_id in {each.context.trace_id for each in done}
