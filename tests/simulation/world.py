"""One world from one seed: the log, the processes, the faults, and the run to the end."""

from __future__ import annotations

import logging
import random
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, cast

from penstock_schemas import topics as t
from penstock_schemas.codec import Codec
from penstock_schemas.ids import derived_id
from penstock_schemas.registry import SchemaRegistry
from penstock_streams.accounts import model as accounts_model
from penstock_streams.accounts.budget import ZERO
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.executions import model as executions_model
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.executions.wiring import executions_stage
from penstock_streams.kit import Row, Stage
from penstock_streams.kit.rows import RowDecoder
from penstock_streams.pipelines import model as pipelines_model
from tests.kit.offline import MemoryRegistry
from tests.simulation.groups import Group
from tests.simulation.invariants import Monitor
from tests.simulation.log import Log
from tests.simulation.outside import Outside
from tests.simulation.piping import pipelines
from tests.simulation.process import SECOND, Process
from tests.simulation.scheduler import Scheduler
from tests.simulation.shape import draw_shape
from tests.simulation.stages import StreamsProcess, stream_settings
from tests.simulation.talking import conversations
from tests.simulation.violations import Violation
from tests.simulation.workers import WorkerProcess

QUIET_WITHIN_S = 3_600
"""Once faults have stopped, everything ends within this: queues of one slot, three attempts of a minute each."""
LOST_WITHIN_S = 90
"""Once faults have stopped, a dead worker's lease is known to be lost within this: at most 25 s until every
partition has an owner (restart, session, transaction timeout), its grace of 30 s, and as much again for slack. A
lease granted by a clock that was ahead lasts longer by that."""
MOST_STEPS = 200_000
"""A world that takes more goes round in circles."""

logging.getLogger("penstock.streams").setLevel(logging.ERROR)


class World:
    """Builds everything; `run` goes to the end or to the first violation.

    Args:
        given: fields of the shape, instead of what the seed draws.
    """

    def __init__(self, seed: int, traced: bool = False, given: Mapping[str, Any] | None = None) -> None:
        self.scheduler = Scheduler(seed, traced)
        self.shape = shape = replace(draw_shape(self.scheduler.rng), **given or {})
        self.scheduler.note(shape)
        self._ids = 0
        stages = [_accounts(), executions_stage(LeaseTimes(), frozenset({t.DEFAULT_QUEUE}))]
        stages += [conversations()] if shape.talkers else []
        stages += [pipelines()] if shape.pipelines else []
        self.tasks = [(stage, number) for stage in stages for number in range(shape.partitions)]
        counts = dict.fromkeys([*t.TOPICS, *map(self.changelog, stages)], shape.partitions)
        self.log = Log(self.scheduler, _codec(), counts, self.trip_us)
        self.monitor = Monitor(self.scheduler, self.log, shape.limits)
        self.log.on_appended, self.log.on_committed = self.monitor.appended, self.monitor.committed
        self.stream_settings = stream_settings(shape.batch)
        numbers = list(range(len(self.tasks)))
        self.stream_group = Group(self.scheduler, "streams", numbers, 6 * SECOND)
        self.worker_group = Group(self.scheduler, "workers", list(range(shape.partitions)), 10 * SECOND)
        self.processes: list[Process] = [
            *(StreamsProcess(self, f"streams{number}") for number in range(shape.streams)),
            *(WorkerProcess(self, f"worker{number}") for number in range(shape.workers)),
        ]
        self._faults_end = int(shape.faults_s * SECOND)
        self._slow_until: dict[str, int] = {}

    # What the world draws

    @property
    def calm(self) -> bool:
        return self.scheduler.now >= self._faults_end

    def trip_us(self) -> int:
        """How long one way over the network takes."""
        rng = self.scheduler.rng
        draw = rng.random()
        if draw < self.shape.slow and not self.calm:
            return rng.randrange(3 * SECOND)
        return rng.randrange(500, 200_000 if draw > 0.98 else 8_000)

    def write_us(self, topic: str) -> int:
        """How long it takes until a record of a plain producer is in the log."""
        slow = self._slow_until.get(topic, 0) > self.scheduler.now and not self.calm
        return self.trip_us() + (self.scheduler.rng.randrange(3 * SECOND) if slow else 0)

    def hesitates(self) -> bool:
        return self.scheduler.rng.random() < self.shape.hesitation

    def hit(self, tempting: bool) -> bool:
        probability = self.shape.hit * (self.shape.tempted if tempting else 1)
        return not self.calm and self.scheduler.rng.random() < probability

    def agent(self, rng: random.Random) -> tuple[int, list[int], str]:
        """How long a run takes, when it makes calls, and how it ends."""
        lasts_s = rng.choice((0.1, 3, 20, 60, 60, 1_000)) * rng.random()
        outcome = rng.choice(("completed",) * 7 + ("retryable", "retryable", "failed"))
        lasts = int(lasts_s * SECOND)
        calls = sorted(rng.choice((rng.randint(0, lasts), lasts)) for _ in range(rng.randint(0, 3)))
        return lasts, calls, outcome

    def strike(self, process: Process) -> None:
        """Something happens to a process; it may be in the middle of anything."""
        rng = self.scheduler.rng
        lasts = int(rng.choice((1, 4, 12, 40, 60)) * rng.uniform(0.3, 1) * SECOND)
        match rng.choice(self.shape.kinds):
            case "kill":  # not from within itself
                self.scheduler.at(self.scheduler.now, lambda _: process.kill())
            case "stop":
                process.stop_for(lasts)
            case "cut":
                process.cut_for(lasts)
            case "stagger":  # late to hear, and soon after it not heard any more
                process.stop_for(int(rng.uniform(3, 12) * SECOND))
                again = process.stopped_until + int(rng.uniform(0, rng.choice((0.02, 4))) * SECOND)
                self.scheduler.at(again, lambda _: process.cut_for(int(rng.uniform(25, 60) * SECOND)))
            case "slow":
                topic = rng.choice((t.ACCOUNTS_COMMANDS, t.EXECUTIONS_COMMANDS, t.EXECUTIONS_LEASES)).name
                self.scheduler.note(topic, "is slow to write")
                self._slow_until[topic] = self.scheduler.now + int(rng.uniform(5, 20) * SECOND)
            case "terminate":
                if process.alive and isinstance(process, StreamsProcess | WorkerProcess):
                    process.terminate()
            case "rebalance":
                rng.choice((self.stream_group, self.worker_group)).rebalance()

    def new_id(self) -> str:
        self._ids += 1
        return derived_id("simulated", self._ids)

    @staticmethod
    def changelog(stage: Stage) -> str:
        return f"penstock-{stage.name}-changelog"

    # The run

    def close(self) -> None:
        """End every actor."""
        for process in self.processes:
            for actor in process.actors:
                actor.close()

    def run(self, most_steps: int = MOST_STEPS) -> None:
        """To the end.

        Raises:
            Violation: an invariant does not hold.
        """
        scheduler = self.scheduler
        for process in self.processes:
            scheduler.at(scheduler.rng.randrange(2 * SECOND), lambda _, p=process: p.start())
        Outside(self).begin()
        scheduler.at(self._next_strike(), self._strike_someone)
        scheduler.at(self._faults_end, self._heal)
        while not self.calm:
            if not self._step(most_steps):
                return
        quiet_by = scheduler.now + QUIET_WITHIN_S * SECOND
        while (left := self._left()) is not None:
            if scheduler.now > quiet_by:
                raise Violation("everything admitted ends", left)
            self.monitor.check_losses(self._faults_end, int((LOST_WITHIN_S + 2 * self.shape.skew_s) * SECOND))
            look_again = scheduler.now + SECOND
            while scheduler.now < look_again:
                if not self._step(most_steps):
                    return
        until = scheduler.now + int(self.shape.linger_s * SECOND)
        while scheduler.now < until:
            if not self._step(most_steps):
                return
        self.monitor.check_end()
        if left := self._left():
            raise Violation("what has ended stays ended", left)

    def _step(self, most_steps: int) -> bool:
        if self.scheduler.steps >= most_steps:
            if most_steps >= MOST_STEPS:
                raise Violation("everything admitted ends", f"{self.monitor.open_ends()} after {most_steps} steps")
            return False
        return self.scheduler.step()

    def _next_strike(self) -> int:
        return self.scheduler.now + int(self.scheduler.rng.expovariate(1 / self.shape.strikes_every_s) * SECOND)

    def _strike_someone(self, _: object) -> None:
        if not self.calm:
            process = self.scheduler.rng.choice(self.processes)
            if process.alive:
                self.strike(process)
            self.scheduler.at(self._next_strike(), self._strike_someone)

    def _heal(self, _: object) -> None:
        self.scheduler.note("faults stop")
        for process in self.processes:
            process.heal()

    def _left(self) -> str | None:
        """What is not over yet: in the events, then in the tables."""
        if (left := self.monitor.open_ends()) is not None:
            return left
        for (stage, partition), rows in ((task, self._rows(*task)) for task in self.tasks):
            for key, row in rows.items():
                match row:
                    case accounts_model.Tenant() if row.active or row.waiting:
                        return f"{stage.name}/{partition} {key}: {row.active} active, {row.waiting} waiting"
                    case accounts_model.Budget() if row.reserved != ZERO:
                        return f"{stage.name}/{partition} {key}: {row.reserved} stays reserved"
                    case accounts_model.Reservation():
                        return f"{stage.name}/{partition} {key} is never released"
                    case accounts_model.Pool() if not row.closed:
                        return f"{stage.name}/{partition} {key} is never released"
                    case pipelines_model.Pipeline() if row.state in ("running", "stopping") or row.reserving:
                        return f"{stage.name}/{partition} {key} is {row.state}"
                    case executions_model.Execution() if row.state != "ended":
                        return f"{stage.name}/{partition} {key} is {row.state}"
        return None

    def _rows(self, stage: Stage, partition: int) -> dict[str, Row]:
        """The table as its changelog tells it."""
        log = self.log.partition((self.changelog(stage), partition))
        found, _ = log.read(0, log.end)
        latest = {entry.key: entry.value for entry in found if entry.key and entry.key[:1] == b"r"}
        decoder = RowDecoder(stage.row_types)
        return {key[1:].decode(): decoder.decode("", value) for key, value in latest.items() if value is not None}


def _accounts() -> Stage:
    """The accounts stage, without what only large inputs need."""
    return Stage(
        name="accounts",
        inputs=(t.ACCOUNTS_REQUESTS, t.ACCOUNTS_COMMANDS),
        outputs=(
            *(t.ACCOUNTS_EVENTS, t.EXECUTIONS_EVENTS, t.EXECUTIONS_COMMANDS),
            *(t.CONVERSATIONS_COMMANDS, t.PIPELINES_COMMANDS),
        ),
        row_types=accounts_model.ROW_TYPES,
        decide=Accounts(Policy(default_tier=None)),
    )


@cache
def _codec() -> Codec:
    codec = Codec(cast(SchemaRegistry, MemoryRegistry()))
    for topic in t.TOPICS.values():
        for record_type in topic.records:
            at_once(codec.prepare_writer(topic, record_type))
    return codec


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError(f"{coroutine} waits")
