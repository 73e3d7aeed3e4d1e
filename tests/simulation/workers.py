"""Worker processes: the protocol of claims, leases, heartbeats, runs and hand-backs, over the model of the log.

The lease table and the offset tracker are the worker's own. What `Claims`, `Attempts` and `Run` do with asyncio
is told again here; the conditions are theirs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from penstock_consumers.worker.leases import LeaseKey, LeaseTable
from penstock_consumers.worker.offsets import OffsetTracker
from penstock_schemas import records as r
from penstock_schemas import topics as t
from penstock_schemas.ids import derived_id
from penstock_schemas.routing import partition_for
from tests.simulation.log import Entry
from tests.simulation.outbox import Outbox
from tests.simulation.process import SECOND, Process
from tests.simulation.run import Run
from tests.simulation.scheduler import Box, Signal, Wait

if TYPE_CHECKING:
    from tests.simulation.world import World

HEARTBEAT_US = 5 * SECOND
MARGIN_S = 3.0
CLAIM_RETRY_US = 2 * SECOND
CLAIM_PATIENCE_US = 30 * SECOND
CLAIM_LINGER_US = 2 * SECOND
POLL_US = 3 * SECOND
REJOIN_US = SECOND // 5
DISPATCH = t.dispatch_topic(t.DEFAULT_QUEUE)
GROUP = "workers"


class WorkerProcess(Process):
    """Claims what is dispatched while it has a free slot, and runs what it is granted."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.slots = world.shape.slots
        self.forget()

    def forget(self) -> None:
        self.leases = LeaseTable(MARGIN_S)
        self.outbox = Outbox(self)
        self.granted: set[LeaseKey] = set()
        self.busy: set[LeaseKey] = set()
        self.running: dict[LeaseKey, Run] = {}
        self.draining = False
        self._offsets = OffsetTracker()
        self._free = self.slots
        self._changed = Signal()
        self._waiting: dict[LeaseKey, Box] = {}
        self._first_sent_s: dict[LeaseKey, float] = {}
        self._generation = 0
        self._positions: dict[int, int] = {}

    def begin(self) -> None:
        self.forget()
        own = (t.EXECUTIONS_LEASES.name, partition_for(self.id, self.world.log.counts[t.EXECUTIONS_LEASES.name]))
        self.spawn(self._listen(own, self.world.log.partition(own).stable_end), "feed")
        self.spawn(self._beat(), "heart")
        self.spawn(self._take_part(), "membership")
        self.spawn(self._read(), "reader")

    def died(self) -> None:
        self.outbox.died()
        self.world.monitor.died(self.id)
        for run in self.running.values():
            run.over()

    def terminate(self) -> None:
        """SIGTERM."""
        if not self.draining:
            self.draining = True
            self.spawn(self._drain(), "drain")

    # What the lease authority says

    async def _listen(self, own: tuple[str, int], position: int) -> None:
        feed = self.world.log.partition(own)
        while True:
            found, position = feed.read(position, 10)
            for entry in found:
                answer: Any = self.world.log.record(entry)
                if answer.worker_id == self.id:
                    self.hear(answer)
            if not found:
                await Wait(None, feed.grown)
            await self.trip()

    def hear(self, answer: r.LeaseGranted | r.LeaseDenied | r.LeaseConfirmed | r.LeaseRevoked) -> None:
        match answer:
            case r.LeaseConfirmed():
                extended = self.leases.confirm(answer.partition, answer.heartbeat_seq)
                for key, deadline_s in sorted(extended.items()):
                    if key in self.running:
                        self.running[key].extend(deadline_s)
            case r.LeaseRevoked(reason="cancelled"):
                if run := self.running.get(LeaseKey(answer.execution_id, answer.epoch)):
                    run.cancel()
            case r.LeaseRevoked():
                self.lose(LeaseKey(answer.execution_id, answer.epoch))
            case r.LeaseDenied():
                self._answer(answer)
            case r.LeaseGranted():
                key = LeaseKey(answer.execution_id, answer.epoch)
                if not self._answer(answer) and key not in self.busy and key not in self.granted:
                    self.granted.add(key)
                    self.hand_back(answer)

    def lose(self, key: LeaseKey) -> None:
        self.leases.release(key)
        if key in self.running:
            self.running[key].end("lease lost")

    def _answer(self, answer: r.LeaseGranted | r.LeaseDenied) -> bool:
        waiting = self._waiting.get(LeaseKey(answer.execution_id, answer.epoch))
        if waiting is None or waiting.full:
            return False
        waiting.put(answer)
        return True

    # Heartbeats

    async def _beat(self) -> None:
        while True:
            await Wait(HEARTBEAT_US)
            for beat in self.leases.beat(self.boottime_s()):
                held = [r.HeldLease(execution_id=key.execution_id, epoch=key.epoch) for key in beat.leases]
                heartbeat = r.Heartbeat(
                    tenant_id=r.SYSTEM_TENANT,
                    partition=beat.partition,
                    worker_id=self.id,
                    heartbeat_seq=beat.seq,
                    leases=held,
                )
                self.outbox.send(t.EXECUTIONS_COMMANDS, heartbeat)
                await self.trip(tempting=True)

    # Dispatches

    async def _take_part(self) -> None:
        group, let_go = self.world.worker_group, 0
        while not self.draining:
            await self.trip()
            generation, owns = group.poll(self.id, let_go)
            if generation != self._generation:
                self._commit()
                self._offsets.forget({TopicPartition(DISPATCH.name, number) for number in self._positions})
                self._positions, self._generation = {}, 0
            let_go = max(let_go, generation)
            if owns is not None and self._generation == 0:
                self._generation = generation
                committed = self.world.log.offsets.get(GROUP, {})
                self._positions = {number: committed.get((DISPATCH.name, number), 0) for number in owns}
                self._changed.notify()
            await Wait(REJOIN_US if self._generation == 0 else POLL_US)

    async def _read(self) -> None:
        while not self.draining:
            self._commit()
            found = self._next() if self._free else None
            if found is None:
                logs = [self.world.log.partition((DISPATCH.name, number)) for number in self._positions]
                await Wait(None, self._changed, *(log.grown for log in logs if self._free))
                await self.trip()
                continue
            self._take(found)
            await self.trip()

    def _next(self) -> Entry | None:
        for number, position in sorted(self._positions.items()):
            found, self._positions[number] = self.world.log.partition((DISPATCH.name, number)).read(position, 1)
            if found:
                return found[0]
        return None

    def _take(self, found: Entry) -> None:
        partition = TopicPartition(found.topic, found.partition)
        self._offsets.read(partition, found.offset)
        dispatch = self.world.log.record(found)
        assert isinstance(dispatch, r.ExecutionDispatched)
        key = LeaseKey(dispatch.execution_id, dispatch.epoch)
        answered = partial(self._offsets.answered, partition, found.offset)
        if key in self.busy or self.had(key):
            answered()
            return
        self.busy.add(key)
        self._free -= 1
        self.spawn(self._attempt(key, dispatch, answered), f"attempt {key.execution_id[:8]}/{key.epoch}")

    def had(self, key: LeaseKey) -> bool:
        """Whether it was granted this attempt before: it never runs one twice."""
        return key in self.granted

    def _commit(self) -> None:
        offsets = self._offsets.committable()
        if offsets and self.world.worker_group.may_commit(self.id, self._generation):
            committed = self.world.log.offsets.setdefault(GROUP, {})
            committed.update({(p.topic, p.partition): offset for p, offset in offsets.items()})
            self._offsets.committed(offsets)

    # Attempts

    async def _attempt(self, key: LeaseKey, dispatch: r.ExecutionDispatched, answered: Any) -> None:
        lease = await self._ask(key, dispatch)
        answered()
        self._changed.notify()
        if lease is not None:
            self.granted.add(key)
            await self._run(key, dispatch, lease)
        self.running.pop(key, None)
        self.leases.release(key)
        self.busy.discard(key)
        self._free += 1
        self._changed.notify()

    async def _ask(self, key: LeaseKey, dispatch: r.ExecutionDispatched) -> r.LeaseGranted | None:
        claim_id = derived_id("claim", self.id, *key)
        claim = r.ClaimLease(
            event_id=claim_id,
            tenant_id=dispatch.tenant_id,
            execution_id=key.execution_id,
            epoch=key.epoch,
            claim_id=claim_id,
            worker_id=self.id,
            dispatch_seq=dispatch.dispatch_seq,
        )
        waiting = self._waiting[key] = Box()
        self._first_sent_s.setdefault(key, self.boottime_s())
        pause_us, gives_up = CLAIM_RETRY_US, self.scheduler.now + CLAIM_PATIENCE_US
        while not waiting.full and self.scheduler.now < gives_up:
            self.outbox.send(t.EXECUTIONS_COMMANDS, claim)
            await self.trip(tempting=True)
            if not waiting.full:
                await Wait(min(pause_us, max(gives_up - self.scheduler.now, 0)), waiting)
            pause_us *= 2
        del self._waiting[key]
        if isinstance(waiting.value, r.LeaseDenied):
            self._first_sent_s.pop(key)
        return waiting.value if isinstance(waiting.value, r.LeaseGranted) else None

    async def _run(self, key: LeaseKey, dispatch: r.ExecutionDispatched, lease: r.LeaseGranted) -> None:
        partition = t.EXECUTIONS_COMMANDS.partition_of(lease, self.world.log.counts[t.EXECUTIONS_COMMANDS.name])
        sent_s = self.deadline_counts_from(key)
        deadline_s = self.leases.grant(key, partition, lease.hold_ms / 1000, sent_s)
        if self.draining or deadline_s <= self.boottime_s():
            await Wait(None, self.hand_back(lease))
            return
        run = self.running[key] = Run(self, dispatch, deadline_s)
        await run.execute()

    def deadline_counts_from(self, key: LeaseKey) -> float:
        """Boot time of the first claim: a repeated one gets the lease of the first."""
        return self._first_sent_s.pop(key)

    def hand_back(self, lease: r.LeaseGranted) -> Box:
        finish = r.FinishAttempt(
            event_id=derived_id("finish", lease.execution_id, lease.epoch),
            tenant_id=lease.tenant_id,
            execution_id=lease.execution_id,
            epoch=lease.epoch,
            worker_id=self.id,
            status="handed_back",
            last_seq=0,
        )
        self.world.monitor.reported_end(finish)
        return self.outbox.send(t.EXECUTIONS_COMMANDS, finish)

    async def _drain(self) -> None:
        self.scheduler.note(self.id, "drains")
        limit_us = int(self.scheduler.rng.choice((0, 3, 20)) * SECOND)
        await Wait(min(CLAIM_LINGER_US, limit_us))
        for waiting in list(self._waiting.values()):
            waiting.put(None)
        self._changed.notify()
        await Wait(limit_us)
        for run in list(self.running.values()):
            run.end("handed_back")
        while self.busy:
            await Wait(SECOND // 10)
        self._commit()
        self.world.worker_group.leave(self.id)
        self.scheduler.at(self.scheduler.now, lambda _: self.kill("has drained"))
        await Wait(None)
