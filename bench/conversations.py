"""The conversations stage alone, on a broker of its own: what a turn costs, and what open conversations do.

    python bench/conversations.py [--turns 10000] [--open 100000]

A turn is a message of 200 bytes and an answer of 200 bytes, from the message's acknowledgement to both sides
being appended; its execution is stood for by its FinishTurn. Bytes are all that the stage writes for it: events,
the request with the history, rows, positions. Turn 10 is that of fresh conversations, the last turns are those of
one that long.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table
from servers import in_a_process, start_servers

from penstock.artifacts import ArtifactStore
from penstock.settings import KafkaSettings
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.routing import partition_for
from penstock_schemas.topics import (
    ACCOUNTS_REQUESTS,
    CONVERSATIONS_COMMANDS,
    CONVERSATIONS_EVENTS,
    CONVERSATIONS_REQUESTS,
    TOPICS,
    Topic,
)
from penstock_services.topic_admin import apply_topics
from penstock_streams.conversations.policy import ConversationPolicy
from penstock_streams.conversations.wiring import conversations_stage
from penstock_streams.kit import StageRunner, StreamsSettings

PARTITIONS = 4
EARLY, MEASURED = 10, 20
SAID = "x" * 200
APP = "bench"
WRITTEN = (CONVERSATIONS_EVENTS.name, ACCOUNTS_REQUESTS.name, f"{APP}-conversations-changelog")


def post(user: str, turn: int) -> r.PostMessage:
    """Message `turn` of a user's one conversation, from 1."""
    conversation = ids.conversation_id("acme", user, "1")
    return r.PostMessage(
        event_id=f"p-{user}-{turn}",
        occurred_at=1,
        tenant_id="acme",
        conversation_id=None if turn == 1 else conversation,
        user_id=user,
        message_id=str(turn),
        content=SAID,
        agent_type="echo",
    )


def finish(user: str, turn: int) -> r.FinishTurn:
    conversation = ids.conversation_id("acme", user, "1")
    return r.FinishTurn(
        event_id=f"f-{user}-{turn}",
        occurred_at=1,
        tenant_id="acme",
        conversation_id=conversation,
        user_id=user,
        execution_id=ids.execution_id("acme", ids.turn_request_id(conversation, str(turn))),
        turn_number=turn,
        status="completed",
        output=SAID,
        used_tokens=100,
    )


def on_the_partition_of(user: str, count: int) -> list[str]:
    """So many other users whose conversations are the same task's: its transactions wait for each other."""

    def home(name: str) -> int:
        return partition_for(ids.conversation_id("acme", name, "1"), PARTITIONS)

    others = (f"early-{n}" for n in itertools.count())
    return list(itertools.islice((name for name in others if home(name) == home(user)), count))


class Bench:
    """A broker with every topic and schema, and both ends of the stage."""

    def __init__(self, bootstrap: str, registry: str) -> None:
        self.kafka, self.registry = KafkaSettings(bootstrap_servers=bootstrap), registry
        self.addresses = (bootstrap, registry)

    async def prepare(self) -> None:
        await apply_topics(self.kafka, TOPICS.values(), PARTITIONS)
        async with SchemaRegistry(self.registry) as registry:
            await registry.register_all(TOPICS.values())

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[Bench]:
        options = self.kafka.client_options()
        async with (
            SchemaRegistry(self.registry) as registry,
            AIOKafkaProducer(**options, linger_ms=2) as self._producer,
            AIOKafkaConsumer(**options, isolation_level="read_committed", fetch_max_wait_ms=5) as self._events,
            AIOKafkaConsumer(**options, isolation_level="read_committed", fetch_max_wait_ms=5) as self._sizes,
        ):
            self._codec = Codec(registry)
            await self._codec.prepare_writers(
                [CONVERSATIONS_REQUESTS, CONVERSATIONS_COMMANDS, CONVERSATIONS_EVENTS]
            )
            self._events.assign([TopicPartition(CONVERSATIONS_EVENTS.name, n) for n in range(PARTITIONS)])
            await self._events.seek_to_end()
            yield self

    async def send(self, topic: Topic, record: r.Record) -> Any:
        partition = topic.partition_of(record, PARTITIONS)
        return await self._producer.send(topic.name, self._codec.encode(topic.name, record), partition=partition)

    async def until(self, kind: type[r.Record], user: str, turn: int) -> None:
        """Wait for an event about one turn."""
        async for message in self._events:
            record = self._codec.decode(message.topic, message.value)
            if isinstance(record, kind) and (record.user_id, record.turn_number) == (user, turn):  # type: ignore[attr-defined]
                return

    async def turn(self, user: str, number: int) -> float:
        """Seconds of one turn."""
        await (await self.send(CONVERSATIONS_REQUESTS, post(user, number)))
        began = time.perf_counter()
        await self.until(r.TurnStarted, user, number)
        await (await self.send(CONVERSATIONS_COMMANDS, finish(user, number)))
        await self.until(r.TurnAppended, user, number)
        return time.perf_counter() - began

    async def cost(self, user: str, number: int) -> tuple[float, int]:
        """Seconds and bytes of one turn."""
        begins = await self.ends()
        return await self.turn(user, number), await self.bytes_since(begins)

    async def turns(self, users: Iterable[str], first: int, last: int) -> None:
        """Many turns, without a wait: a message queued behind a running turn starts when that ends."""
        for user in users:
            for number in range(first, last + 1):
                await self.send(CONVERSATIONS_REQUESTS, post(user, number))
                if number % 50 == 0 or number == last:  # as many may wait at most
                    await self._producer.flush()
                    await self._after_queue(user, first, number)

    async def _after_queue(self, user: str, first: int, last: int) -> None:
        start = max(first, (last - 1) // 50 * 50 + 1)
        for number in range(start, last + 1):
            if number == start:
                await self.until(r.TurnStarted, user, number)
            await self.send(CONVERSATIONS_COMMANDS, finish(user, number))
        await self.until(r.TurnAppended, user, last)

    async def ends(self) -> dict[TopicPartition, int]:
        partitions = [TopicPartition(name, n) for name in WRITTEN for n in range(PARTITIONS)]
        found: dict[TopicPartition, int] = await self._sizes.end_offsets(partitions)
        return found

    async def sent(self) -> int:
        """Records in the stage's inputs."""
        inputs = (CONVERSATIONS_REQUESTS, CONVERSATIONS_COMMANDS)
        partitions = [TopicPartition(topic.name, n) for topic in inputs for n in range(PARTITIONS)]
        return sum((await self._sizes.end_offsets(partitions)).values())

    async def bytes_since(self, begins: dict[TopicPartition, int]) -> int:
        """Keys and values of all records between then and now."""
        total, ends = 0, await self.ends()
        for partition, end in ends.items():
            self._sizes.assign([partition])
            self._sizes.seek(partition, begins[partition])
            while await self._sizes.position(partition) < end:
                for messages in (await self._sizes.getmany(timeout_ms=200)).values():
                    total += sum(len(m.key or b"") + len(m.value or b"") for m in messages if m.offset < end)
        return total


async def cost_of_turns(bench: Bench, last: int, data: Path) -> dict[str, float]:
    """Seconds and bytes of a turn, early and late."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--worker", json.dumps(["serve", *bench.addresses, str(data), 0])
    )
    try:
        async with bench.talking():
            users = on_the_partition_of("late", MEASURED)
            await bench.turn("warm-up", 1)
            await bench.turns(users, 1, EARLY - 1)
            began = time.perf_counter()
            await bench.turns(["late"], 1, last - MEASURED)
            found = {"fill_s": time.perf_counter() - began}
            early, late = [], []
            for user, number in zip(users, range(last - MEASURED + 1, last + 1), strict=True):
                early.append(await bench.cost(user, EARLY))  # in turns: what else the machine does, both feel
                late.append(await bench.cost("late", number))
            for which, costs in (("early", early), ("late", late)):
                seconds, sizes = zip(*costs, strict=True)
                found |= {f"{which}_s": statistics.median(seconds), f"{which}_bytes": statistics.mean(sizes)}
    finally:
        running.terminate()
        await running.wait()
    return found


async def open_conversations(bench: Bench, count: int, data: Path) -> dict[str, float]:
    """Memory with so many, and the two ways back."""
    async with bench.talking():
        for number in range(count):
            await bench.send(CONVERSATIONS_REQUESTS, post(f"open-{number}", 1))
        await bench._producer.flush()
        sent = await bench.sent()
    first = await in_a_process(__file__, "measure", *bench.addresses, str(data), sent)
    async with bench.talking():
        for number in range(count):
            await bench.send(CONVERSATIONS_COMMANDS, finish(f"open-{number}", 1))
        await bench._producer.flush()
        sent = await bench.sent()
    second = await in_a_process(__file__, "measure", *bench.addresses, str(data), sent)
    warm = await in_a_process(__file__, "measure", *bench.addresses, str(data), 0)
    shutil.rmtree(data)
    rebuilt = await in_a_process(__file__, "measure", *bench.addresses, str(data), 0)
    return {
        "rss": max(each["rss"] for each in (first, second, warm, rebuilt)),
        "warm_s": warm["ready_s"],
        "rebuild_s": rebuilt["ready_s"],
        "rate": 2 * count / (first["done_s"] + second["done_s"]),
    }


async def work(mode: str, bootstrap: str, registry_url: str, data: str, expected: int) -> None:
    """The process with the stage: until it is stopped, or until it has read everything."""
    began = time.monotonic()
    # Longer than the defaults: a machine that is busy with other work must not end the process in between.
    settings = StreamsSettings(app_id=APP, data_dir=Path(data), transaction_timeout_s=60, session_timeout_s=30)
    async with SchemaRegistry(registry_url) as registry:
        stage = conversations_stage(ConversationPolicy(), ArtifactStore(f"{data}-artifacts"))
        kafka = KafkaSettings(bootstrap_servers=bootstrap)
        async with StageRunner([stage], settings, Codec(registry), kafka=kafka) as runner:
            failing = asyncio.create_task(runner.wait_for_failure())
            if mode == "serve":
                raise SystemExit(f"the stage failed: {await failing!r}")
            while (waited_for := runner.ready()) is not None:
                assert not waited_for.startswith("failed"), waited_for
                await asyncio.sleep(0.02)
            ready_s = time.monotonic() - began
            read = 0
            while read < expected:
                if failing.done():
                    raise SystemExit(f"the stage failed: {failing.result()!r}")
                await asyncio.sleep(0.05)
                read = sum(standing.position for standing in runner.standings())
            done_s = time.monotonic() - began - ready_s
            print(json.dumps({"ready_s": ready_s, "done_s": done_s, "rss": psutil.Process().memory_info().rss}))


async def measure(turns: int, count: int) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        bench = Bench(*await start_servers(stack, folder))
        await bench.prepare()
        of_turns = await cost_of_turns(bench, turns, folder / "turns")
        print(of_turns, file=sys.stderr)  # the other half takes as long again
        opened = await open_conversations(bench, count, folder / "turns") if count else {}
    table = Table(title="Conversations", caption=f"one run; {MEASURED} turns each; window of 10 turns")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    for what, unit, scale in (("bytes", "bytes", 1), ("s", "ms", 1000)):
        early, late = of_turns[f"early_{what}"] * scale, of_turns[f"late_{what}"] * scale
        shown = f"{early:,.0f} → {late:,.0f} {unit} ({late / early - 1:+.0%})"
        table.add_row(f"turn {EARLY} → turn {turns:,}", shown, "within 20 %")
    if opened:
        table.add_row(f"{count:,} open conversations, resident", f"{opened['rss'] / 2**20:.0f} MiB", "≤ 1,024 MiB")
        table.add_row("restart, warm disk", f"{opened['warm_s']:.1f} s", "≤ 5 s")
        table.add_row("rebuild from Kafka", f"{opened['rebuild_s']:.1f} s", "≤ 60 s")
        table.add_row("messages and ends taken in", f"{opened['rate']:,.0f} /s", "")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        uvloop.run(work(*json.loads(arguments.worker)))
    else:
        asyncio.run(measure(arguments.turns, arguments.open))


if __name__ == "__main__":
    main()
