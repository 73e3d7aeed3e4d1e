"""The executions stage alone, on a broker of its own: lifecycle events, held leases, and a new owner.

    python bench/lifecycle.py [--rounds 3]

Throughput: starts, claims, heartbeats and finishes of executions of simulated workers; exactly once, rocksdb.
Held leases: 100,000 executions held by 1,000 workers that heartbeat every 5 s; the processor time of one streams
process. Failover: two streams processes, 100,000 live executions; one is killed, and the time until the other has
answered a heartbeat on every partition.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import REGISTRY
from rich.console import Console
from rich.table import Table
from servers import in_a_process, start_servers

from penstock.settings import KafkaSettings
from penstock_consumers.worker.worker import BEAT_SLOTS, until_next_beat_s
from penstock_schemas import records as r
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.routing import partition_for
from penstock_schemas.topics import DEFAULT_QUEUE, EXECUTIONS_COMMANDS, EXECUTIONS_LEASES, TOPICS
from penstock_services.topic_admin import apply_topics
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.executions.wiring import executions_stage
from penstock_streams.kit import StageRunner, StreamsSettings
from penstock_streams.timing import HOUR_US

PARTITIONS = 4
EXECUTIONS, HELD, WORKERS = 20_000, 100_000, 1_000
HEARTBEAT_S, MEASURED_BEATS = 5.0, 12_000
COMMANDS = EXECUTIONS_COMMANDS


def execution(number: int) -> str:
    return f"execution-{number:08d}"


def worker_of(number: int) -> str:
    return f"host:{number % WORKERS}:boot"


def started(numbers: Iterable[int]) -> list[r.Record]:
    """Executions that start and are claimed."""
    records: list[r.Record] = []
    for number in numbers:
        about = {
            "event_id": f"e-{number}",
            "occurred_at": 1,
            "tenant_id": "acme",
            "execution_id": execution(number),
        }
        work = {"request_id": f"r-{number}", "agent_type": "echo", "input": "hello", "timeout_s": 86_400}
        records.append(r.StartExecution(**about, **work, max_attempts=3))
        records.append(r.ClaimLease(**about, epoch=1, claim_id=f"c-{number}", worker_id=worker_of(number)))
    return records


def finished(numbers: Iterable[int]) -> list[r.Record]:
    return [
        r.FinishAttempt(
            event_id=f"f-{number}",
            occurred_at=1,
            tenant_id="acme",
            execution_id=execution(number),
            epoch=1,
            worker_id=worker_of(number),
            status="completed",
            output="hello",
            last_seq=1,
        )
        for number in numbers
    ]


def heartbeats(numbers: Iterable[int], seq: int) -> list[r.Record]:
    """One per worker and partition of what `numbers` hold."""
    held: dict[tuple[str, int], list[r.HeldLease]] = {}
    for number in numbers:
        place = (worker_of(number), partition_for(execution(number), PARTITIONS))
        held.setdefault(place, []).append(r.HeldLease(execution_id=execution(number), epoch=1))
    return [heartbeat(worker, partition, seq, leases) for (worker, partition), leases in held.items()]


def heartbeat(worker: str, partition: int, seq: int, leases: list[r.HeldLease]) -> r.Heartbeat:
    return r.Heartbeat(
        event_id=f"h-{worker}-{partition}-{seq}",
        occurred_at=1,
        tenant_id=r.SYSTEM_TENANT,
        partition=partition,
        worker_id=worker,
        heartbeat_seq=seq,
        leases=leases,
    )


class Bench:
    """A broker and a registry with every topic and schema."""

    def __init__(self, bootstrap: str, registry: str) -> None:
        self.kafka, self.registry = KafkaSettings(bootstrap_servers=bootstrap), registry
        self.addresses = (bootstrap, registry)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[tuple[Codec, AIOKafkaProducer]]:
        options = self.kafka.client_options()
        async with (
            SchemaRegistry(self.registry) as registry,
            AIOKafkaProducer(**options, linger_ms=5, max_batch_size=262_144) as producer,
        ):
            codec = Codec(registry)
            await codec.prepare_writers([COMMANDS])
            yield codec, producer

    async def prepare(self) -> None:
        await apply_topics(self.kafka, TOPICS.values(), PARTITIONS)
        async with SchemaRegistry(self.registry) as registry:
            await registry.register_all(TOPICS.values())

    async def write(self, records: Iterable[r.Record]) -> int:
        count = 0
        async with self.writing() as (codec, producer):
            for record in records:
                await send(codec, producer, record)
                count += 1
        return count

    async def confirmed_everywhere(self, worker: str) -> None:
        """Send a heartbeat to every partition, and wait until each is answered."""
        answers = TopicPartition(EXECUTIONS_LEASES.name, partition_for(worker, PARTITIONS))
        consumer = AIOKafkaConsumer(
            **self.kafka.client_options(), isolation_level="read_committed", fetch_max_wait_ms=20
        )
        await consumer.start()
        consumer.assign([answers])
        await consumer.seek_to_end(answers)
        await consumer.position(answers)
        await self.write([heartbeat(worker, partition, 1, []) for partition in range(PARTITIONS)])
        answered: set[int] = set()
        async with SchemaRegistry(self.registry) as registry:
            codec = Codec(registry)
            async for message in consumer:
                try:
                    record = codec.decode(message.topic, message.value)
                except SchemaNotLoaded as exc:
                    await codec.load_schema(exc.schema_id)
                    record = codec.decode(message.topic, message.value)
                if isinstance(record, r.LeaseConfirmed) and record.worker_id == worker:
                    answered.add(record.partition)
                if len(answered) == PARTITIONS:
                    break
        await consumer.stop()


async def send(codec: Codec, producer: AIOKafkaProducer, record: r.Record) -> None:
    partition = COMMANDS.partition_of(record, PARTITIONS)
    await producer.send(COMMANDS.name, codec.encode(COMMANDS.name, record), key=b"k", partition=partition)


async def throughput(bench: Bench) -> float:
    """Lifecycle events per second."""
    events = 0
    for first in range(0, EXECUTIONS, WORKERS):
        block = range(first, first + WORKERS)
        events += await bench.write([*started(block), *heartbeats(block, 1), *finished(block)])
    return (await in_a_process(__file__, "rate", events, *bench.addresses, "a"))["rate"]


async def held_leases(bench: Bench) -> float:
    """Processor seconds per second, of one streams process that is sent the heartbeats of 100,000 leases."""
    events = await bench.write(started(range(HELD)))
    measuring = asyncio.create_task(in_a_process(__file__, "cpu", events, *bench.addresses, "a"))
    await bench.confirmed_everywhere("probe-0")  # everything before has been read
    beats = heartbeats(range(HELD), 2)
    async with bench.writing() as (codec, producer):
        slots = [beats[first::BEAT_SLOTS] for first in range(BEAT_SLOTS)]
        while not measuring.done():  # as 1,000 workers would send them
            for slot in slots:
                await asyncio.sleep(until_next_beat_s(time.time(), HEARTBEAT_S) % (HEARTBEAT_S / BEAT_SLOTS))
                for beat in slot:
                    await send(codec, producer, beat)
    return (await measuring)["cpu"]


async def failover(bench: Bench) -> float:
    """Seconds from kill -9 of one of two streams processes until the other answers on every partition."""
    arguments = [sys.executable, __file__, "--worker"]
    processes = [
        await asyncio.create_subprocess_exec(*arguments, json.dumps(["serve", 0, *bench.addresses, name]))
        for name in ("b", "c")
    ]
    await bench.confirmed_everywhere("probe-1")
    processes[0].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    await processes[0].wait()
    await bench.confirmed_everywhere("probe-2")
    took_s = time.monotonic() - killed
    processes[1].terminate()
    await processes[1].wait()
    return took_s


async def streams(what: str, events: int, bootstrap: str, registry_url: str, name: str) -> dict[str, float]:
    """A streams process of the executions stage alone."""
    with tempfile.TemporaryDirectory(prefix=f"penstock-bench-{name}-") as folder:
        settings = StreamsSettings(data_dir=Path(folder))
        times = LeaseTimes(hold_us=HOUR_US, repeat_first_us=HOUR_US, repeat_most_us=HOUR_US)
        stage = executions_stage(times, frozenset({DEFAULT_QUEUE}))
        async with SchemaRegistry(registry_url) as registry:
            codec = Codec(registry)
            await codec.prepare_writers()
            async with StageRunner([stage], settings, codec, kafka=KafkaSettings(bootstrap_servers=bootstrap)):
                if what == "serve":
                    await asyncio.Event().wait()
                if what == "rate":
                    return {"rate": await events_per_s(events)}
                await until_counted(events)
                await until_counted(counted() + MEASURED_BEATS / 4)  # settled
                return {"cpu": await processor_share(MEASURED_BEATS)}
    raise AssertionError(what)


def counted() -> float:
    return REGISTRY.get_sample_value("penstock_stream_records_total", {"stage": "executions"}) or 0.0


async def until_counted(events: float, asked_every_s: float = 0.1) -> None:
    while counted() < events:  # noqa: ASYNC110 - a counter has nothing to wait on
        await asyncio.sleep(asked_every_s)


async def events_per_s(events: int) -> float:
    await until_counted(1)
    began, first = time.perf_counter(), counted()
    await until_counted(events)
    return (events - first) / (time.perf_counter() - began)


async def processor_share(beats: int) -> float:
    began, used = time.perf_counter(), time.process_time()
    await until_counted(counted() + beats, asked_every_s=1.0)  # reading it walks every metric: not to be measured
    return (time.process_time() - used) / (time.perf_counter() - began)


async def measure(rounds: int) -> Table:
    rates, shares, failovers = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncExitStack() as servers:
                bench = Bench(*await start_servers(servers, Path(folder)))
                await bench.prepare()
                rates.append(await throughput(bench))
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncExitStack() as servers:
                bench = Bench(*await start_servers(servers, Path(folder)))
                await bench.prepare()
                shares.append(await held_leases(bench))
                failovers.append(await failover(bench))
    table = Table("figure", "measured", "target", title=f"The executions stage, medians of {rounds} rounds")
    table.add_row("lifecycle events/s, one process", f"{statistics.median(rates):,.0f}", "≥ 5,000")
    table.add_row("100k held leases, share of a core", f"{statistics.median(shares):.1%}", "< 15 %")
    session_s = StreamsSettings().session_timeout_s
    table.add_row(
        "failover with 100k executions", f"{statistics.median(failovers):.1f} s", f"≤ {session_s + 5:.0f} s"
    )
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.worker:
        print(json.dumps(uvloop.run(streams(*json.loads(arguments.worker)))))
    else:
        Console().print(asyncio.run(measure(arguments.rounds)))
