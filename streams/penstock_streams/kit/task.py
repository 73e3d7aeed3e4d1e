"""The exactly-once task: one partition of one stage, its inputs, its table and its transactions.

Before its first batch it takes the partition over: `takeover`, steps (a) to (c).

The commit order of one batch, and what a crash after each step costs:
 1. take, decode, decide, encode, measure: in memory. Cost: the work is done again.
 2. begin; send outputs, rows and the input positions; flush. Cost: an open transaction, which the next
    owner's fencing or the broker's timeout aborts; nobody saw it.
 3. check every send's future. Cost: the same.
 4. send the offsets of inputs never read before (`shown`: the position row is the truth) and commit. Cost of a
    crash before the commit: the same. After it: the batch is done, the local store is behind.
 5. apply rows, timers and positions to the local store. Cost of a crash before: recovery reads them from the
    changelog. After: none.
 6. an error in 2 to 5 ends the process; there is no abort and no retry, because (a) to (c) are both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from aiokafka import TopicPartition

from penstock_services.consuming import Standing
from penstock_streams.kit._faults import crash_point
from penstock_streams.kit.alarm import Alarm
from penstock_streams.kit.api import Prepare, PrepareWithRows, Rows
from penstock_streams.kit.batch import Message
from penstock_streams.kit.fold import Fold
from penstock_streams.kit.intake import Arrived, Intake
from penstock_streams.kit.later import Timers
from penstock_streams.kit.metrics import count_batch
from penstock_streams.kit.parts import TaskParts
from penstock_streams.kit.rows import (
    POSITION_KEY,
    Position,
    RowDecoder,
    StoredRows,
    TimerRow,
    encode,
)
from penstock_streams.kit.store import Change, Mark
from penstock_streams.kit.takeover import seek, take_over

log = logging.getLogger("penstock.streams")

STOP_TIMEOUT_S = 10.0
CANCEL_AGAIN_S = 6.0
"""A cancellation that a library swallowed is repeated, or the task would live on and keep this process from
joining its group again. Longer than the producer takes to stop."""


class Task:
    """Runs until it is stopped or fails. Nothing cures a failed task but a new process."""

    def __init__(self, parts: TaskParts, running: Callable[[], None] = lambda: None) -> None:
        self._parts = parts
        self._facts = parts.facts
        self._on_running = running
        self._decoder = RowDecoder(parts.facts.stage.row_types)
        self._timers = Timers(parts.store)
        self._arrived: deque[Arrived] = deque()
        self._position = Position(0, {}, 0)
        self._known_read: set[str] = set()
        self._committing = asyncio.Lock()
        self._in_hand = 0
        self._waiting_for: str | None = "its turn"
        self._run: asyncio.Task[None] | None = None
        self.name = f"{parts.facts.stage.name}/{parts.facts.partition}"

    @property
    def waiting_for(self) -> str | None:
        """Why it does not process records now; None while it does."""
        return self._waiting_for

    def standings(self) -> Iterator[Standing]:
        """How far its inputs are; from what is committed while records are in hand."""
        facts = self._facts
        for (topic, partition), read_to, end in self._parts.inputs.read_up_to():
            done = self._position.next_offsets[topic] if self._in_hand else read_to
            yield Standing(facts.stage.name, topic, partition, done, end - done)

    def shown(self) -> Mapping[TopicPartition, int]:
        """The next offset of each input it is known to have read from, as committed."""
        return {
            TopicPartition(topic, self._facts.partition): at
            for topic, at in self._position.next_offsets.items()
            if topic in self._known_read
        }

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin in the background; `failed` gets the error that ends it."""
        self._run = asyncio.create_task(self.live(), name=self.name)

        def ended(run: asyncio.Task[None]) -> None:
            if not run.cancelled() and (error := run.exception()) is not None:
                failed(error)

        self._run.add_done_callback(ended)

    async def stop(self) -> None:
        """Let a transaction in flight finish, then end. One that hangs is left to the next owner's fencing."""
        if self._run is None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S), self._committing:
                self._run.cancel()
        except TimeoutError:
            self._run.cancel()
        while not (await asyncio.wait([self._run], timeout=CANCEL_AGAIN_S))[0]:
            log.warning("%s: does not end; cancelling it again", self.name)
            self._run.cancel()

    async def live(self) -> None:
        """Take the partition over and process it until cancelled; raises whatever ends that."""
        try:
            await take_over(self._parts, self._timers, self._wait_for)
            async with self._parts.inputs:
                self._position, self._known_read = await seek(self._parts, self.name)
                await self._process()
        finally:
            await self._parts.producer.stop()

    async def _process(self) -> None:
        parts, most = self._parts, self._parts.settings.max_batch_records
        if parts.set_clock is not None:  # before any event or timer is decided by a wrong time
            await parts.set_clock(lambda: self._commit(lambda fold: None))
        alarm = Alarm(self._timers.soon, parts.inputs, parts.clock, self._facts.stage.grace_s, parts.monotonic)
        intake = self._intake()
        self._wait_for(None)
        log.info("%s: running from %s", self.name, dict(self._position.next_offsets))
        self._on_running()
        while True:
            self._timers.come_near(parts.clock())
            if not self._arrived:
                taken = await parts.inputs.take(most, alarm.wait_s())
                self._in_hand = len(taken)
                self._arrived.extend(await intake.admit(taken))
            if self._arrived:
                await self._commit(self._fold_records)
            if not self._arrived and (due := await alarm.due(most)):
                await self._commit(partial(_fold_timers, due))

    def _intake(self) -> Intake:
        stage = self._facts.stage
        inputs = {topic.name: topic for topic in stage.inputs}
        partitions = self._position.partitions
        rows = StoredRows(self._decoder, self._parts.store.get)
        reading = {kind: _reading(prepare, rows) for kind, prepare in stage.prepare_with_rows.items()}
        prepare = {**stage.prepare, **reading}
        return Intake(inputs, partitions, self._facts.partition, self._parts.codec, prepare, self._wait_for)

    def _fold_records(self, fold: Fold) -> None:
        while self._arrived and fold.result.encoded_bytes < self._parts.settings.max_batch_bytes:
            fold.record(self._arrived.popleft())

    async def _commit(self, fold_into: Callable[[Fold], None]) -> None:
        """Steps 1 to 5 of the commit order above."""
        parts, facts, old, started_ns = self._parts, self._facts, self._position, time.time_ns()
        async with self._committing:
            fold = Fold(facts, parts.codec, self._decoder, parts.store.get, parts.clock(), old.timers_fired)
            fold_into(fold)
            batch = fold.result
            crash_point("folded")
            new = Position(
                old.partitions, {**old.next_offsets, **batch.next_offsets}, old.timers_fired + batch.timers_fired
            )
            changes: list[Change] = [*batch.changes.items(), (POSITION_KEY, encode(new))]
            changelog = TopicPartition(facts.changelog, facts.partition)
            await parts.producer.renew_if_worn()
            began_s = time.monotonic()
            ends = await parts.producer.send(
                {**batch.messages, changelog: [Message(key, value) for key, value in changes]}
            )
            crash_point("checked")
            first_read = batch.next_offsets.keys() - self._known_read
            await parts.producer.commit(
                {TopicPartition(topic, facts.partition): batch.next_offsets[topic] for topic in first_read}
            )
            commit_s = time.monotonic() - began_s
            crash_point("committed")
            changes += self._timers.entries(batch.timers)
            parts.store.apply(changes, Mark(ends[changelog], parts.clock()))
            self._timers.set(batch.timers)
            self._position = new
            self._known_read |= first_read
            self._in_hand -= batch.records
            crash_point("applied")
        count_batch(facts.stage.name, batch, commit_s)
        batch.traces.span(  # one for all: per record it would cost half of what a record does
            facts.stage.name,
            started_ns,
            group=parts.settings.app_id,
            records=batch.records,
            more={"messaging.destination.partition.id": str(facts.partition)},
        )

    def _wait_for(self, what: str | None) -> None:
        self._waiting_for = what


def _reading(prepare: PrepareWithRows, rows: Rows) -> Prepare:
    return lambda record: prepare(record, rows)


def _fold_timers(due: list[tuple[str, TimerRow]], fold: Fold) -> None:
    for name, row in due:
        fold.timer(name, row.due)
