"""Processes that run the stages: the kit's own `Task`, over the model of the log."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from aiokafka import TopicPartition

from penstock_schemas.topics import MAX_RECORD_BYTES
from penstock_streams.kit import Decision, Event, Rows, Stage, TimerDue
from penstock_streams.kit.alarm import FENCE_POLL_S, LONGEST_WAIT_S
from penstock_streams.kit.batch import Message, TaskFacts
from penstock_streams.kit.errors import PositionLost
from penstock_streams.kit.later import indexed
from penstock_streams.kit.parts import TaskParts
from penstock_streams.kit.store import Mark, MemoryStore
from penstock_streams.kit.task import Task
from penstock_streams.kit.timers import TimerQueue
from tests.simulation.log import Entry, ProducerFenced, Target, Transaction
from tests.simulation.process import SECOND, Process
from tests.simulation.scheduler import Actor, Signal, Wait

if TYPE_CHECKING:
    from tests.simulation.world import World

GROUP = "streams"
POLL_US = 2 * SECOND
REJOIN_US = SECOND // 5
FENCED_WAIT_S, IDLE_WAIT_S = 0.5, 60.0


class Producer:
    """Stands for `TransactionalProducer`: every call is a trip to the log and back."""

    def __init__(self, process: Process, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._process = process
        self._log = process.world.log
        self._epoch = 0
        self._transaction: Transaction | None = None
        self.folded: list[Event] = []
        """What the batch of the open transaction was made from."""

    async def start(self) -> None:
        await self._process.trip()
        await self._until_settled()
        self._epoch = self._log.fence(self.transactional_id)
        await self._until_settled()
        await self._process.trip()

    async def renew_if_worn(self) -> None:
        """Never worn: that is tested on the real producer."""

    async def send(self, batches: Mapping[Target, Sequence[Message]]) -> dict[TopicPartition, int]:
        await self._process.trip()
        await self._until_settled()
        self._transaction = self._log.begin(self.transactional_id, self._epoch)
        ends = {}
        for target, messages in batches.items():
            if self._process.world.hesitates():
                await self._process.trip()
            ends[TopicPartition(*target)] = self._log.write(self._transaction, self._epoch, target, messages)
        await self._process.trip()
        return ends

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        if self._process.world.hesitates():
            await self._process.trip()
        assert self._transaction is not None
        offsets = {(target.topic, target.partition): offset for target, offset in next_offsets.items()}
        folded, self.folded = self.folded, []
        self._log.commit(self._transaction, self._epoch, GROUP, offsets)
        self._process.world.monitor.consumed(folded)
        await self._process.trip()

    @property
    def fenced(self) -> bool:
        return self._log.is_fenced(self.transactional_id, self._epoch)

    async def stop(self) -> None:
        """The log is not told; it aborts by fencing or timeout."""

    async def _until_settled(self) -> None:
        while self._log.busy(self.transactional_id):
            await Wait(None, self._log.settled)


class Inputs:
    """Stands for `TaskInputs`."""

    def __init__(self, process: Process, targets: Sequence[Target]) -> None:
        self.positions: dict[str, int] = {}
        self.timers: TimerQueue | None = None
        self._process = process
        self._order = list(targets)
        self._log = process.world.log

    async def __aenter__(self) -> Inputs:
        await self._process.trip()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    async def begin_offsets(self) -> dict[str, int]:
        return {topic: 0 for topic, _ in self._order}

    async def end_offsets(self) -> dict[str, int]:
        await self._process.trip()
        ends = {target[0]: self._log.partition(target).end for target in self._order}
        if self._process.world.hesitates():
            await self._process.trip()
        return ends

    def seek(self, next_offsets: Mapping[str, int]) -> None:
        self.positions = {topic: next_offsets[topic] for topic, _ in self._order}

    async def take(self, at_most: int, wait_s: float) -> list[Entry]:
        if self._process.world.hesitates():
            await self._process.trip()
        taken = self._read(at_most)
        if not taken and wait_s > 0:
            wait_s = self._long_enough(wait_s)
            signals: list[Signal] = [self._log.partition(target).grown for target in self._order]
            await Wait(int(wait_s * SECOND) + 1, *signals)
            await self._process.trip()
            taken = self._read(at_most)
        return taken

    async def have_read(self, ends: Mapping[str, int]) -> bool:
        reached = all(self.positions[topic] >= end for topic, end in ends.items())
        if self._process.world.hesitates():
            await self._process.trip()
        return reached

    def _long_enough(self, wait_s: float) -> float:
        """Where the task would only look again and find nothing, it may as well sleep: time costs steps."""
        if wait_s == FENCE_POLL_S:
            return FENCED_WAIT_S
        if wait_s == LONGEST_WAIT_S and self.timers is not None:
            due = self.timers.next_due(grace_over=True)
            free_s = IDLE_WAIT_S if due is None else (due - self._process.wall()) / SECOND
            return max(LONGEST_WAIT_S, min(free_s, IDLE_WAIT_S))
        return wait_s

    def _read(self, at_most: int) -> list[Entry]:
        self._order.append(self._order.pop(0))
        taken: list[Entry] = []
        for target in self._order:
            found, self.positions[target[0]] = self._log.partition(target).read(
                self.positions[target[0]], at_most - len(taken)
            )
            taken += found
        return taken


class StreamsProcess(Process):
    """Member of the stages' group; runs one task per assigned partition and stage. A failed task ends it."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._stores: dict[int, MemoryStore] = {}
        self._running: list[tuple[Task, Actor]] = []

    def failed(self, actor: Actor, error: Exception) -> None:
        """As `Process.failed`; an owner that was fenced may end with another error than that, see docs."""
        producers = [task._parts.producer for task, other in self._running if other is actor]
        if isinstance(error, PositionLost) and any(cast(Producer, producer).fenced for producer in producers):
            error = ProducerFenced(str(error))
        super().failed(actor, error)

    def begin(self) -> None:
        self.spawn(self._take_part(), "membership")

    def died(self) -> None:
        self._stores, self._running = {}, []

    def terminate(self) -> None:
        """SIGTERM."""
        self.spawn(self._leave(), "leaving")

    async def _leave(self) -> None:
        await self._let_go()
        self.world.stream_group.leave(self.id)
        self.scheduler.at(self.scheduler.now, lambda _: self.kill("has left"))
        await Wait(None)

    async def _take_part(self) -> None:
        group, let_go, running = self.world.stream_group, 0, 0
        while True:
            await self.trip()
            generation, owns = group.poll(self.id, let_go)
            if generation != running:
                await self._let_go()
                running = 0
            let_go = max(let_go, generation)
            if owns is not None and running == 0:
                running = generation
                self._take(owns)
            await Wait(REJOIN_US if running == 0 else POLL_US)

    def _take(self, owns: list[int]) -> None:
        self._stores = {number: store for number, store in self._stores.items() if number in owns}
        for number in owns:
            stage, partition = self.world.tasks[number]
            store = self._stores.setdefault(number, MemoryStore())
            task = self._task(stage, partition, store)
            self._running.append((task, self.spawn(task.live(), f"{stage.name}/{partition}")))

    async def _let_go(self) -> None:
        """As `Task.stop`: a transaction in flight may finish."""
        for task, actor in self._running:
            for _ in range(1_000):
                if actor.done or not task._committing.locked():
                    break
                await Wait(10_000)
            actor.close()
        self._running = []

    def _task(self, stage: Stage, partition: int, store: MemoryStore) -> Task:
        world = self.world
        changelog = world.changelog(stage)
        inputs = Inputs(self, [(topic.name, partition) for topic in stage.inputs])
        limits = dict.fromkeys(world.log.counts, MAX_RECORD_BYTES)
        producer = Producer(self, f"{stage.name}/{partition}")
        parts = TaskParts(
            facts=TaskFacts(self._probed(stage, inputs, producer), partition, changelog, world.log.counts, limits),
            settings=cast(Any, self.world.stream_settings),
            codec=world.log.codec,
            store=store,
            producer=cast(Any, producer),
            inputs=cast(Any, inputs),
            client_options={},
            committed=self._committed,
            clock=self.wall,
            monotonic=self.boottime_s,
            recover=self._recover,
        )
        task = Task(parts)
        inputs.timers = task._timers.soon
        return task

    def _probed(self, stage: Stage, inputs: Inputs, producer: Producer) -> Stage:
        """The stage, with an eye on what it consumes and on its timers."""

        def decide(rows: Rows, event: Event | TimerDue, now: int) -> Decision:
            decision = stage.decide(rows, event, now)
            if isinstance(event, TimerDue):
                unread = [self.world.log.partition(target) for target in inputs._order]
                self.world.monitor.fired(self, event, unread, inputs.positions)
            else:
                producer.folded.append(event)
            return decision

        return dataclasses.replace(stage, decide=decide)

    async def _committed(self) -> dict[TopicPartition, int]:
        await self.trip()
        return {TopicPartition(*target): at for target, at in self.world.log.offsets.get(GROUP, {}).items()}

    async def _recover(self, store: MemoryStore, changelog: TopicPartition, *_: object, **__: object) -> int:
        """As `recovery.catch_up`: read committed records until the position passes the stable end."""
        await self.trip()
        log, mark = self.world.log.partition(changelog), store.mark()
        position, end, applied = mark.next_offset if mark else 0, log.stable_end, 0
        while position < end:
            found, position = log.read(position, 20)
            changes = indexed((entry.key or b"", entry.value) for entry in found)
            store.apply(changes, Mark(position, self.wall()))
            applied += len(found)
            if self.world.hesitates():
                await self.trip()
        return applied


def stream_settings(max_batch_records: int) -> SimpleNamespace:
    """What a task reads of `StreamsSettings`, without reading the environment."""
    return SimpleNamespace(
        app_id="simulated",
        max_batch_records=max_batch_records,
        max_batch_bytes=1 << 23,
        delete_retention_s=7 * 86_400.0,
    )
