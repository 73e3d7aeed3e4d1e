"""Whoever writes from outside: requests and usage, sent twice, sent to the wrong partition, or changed in between;
and an operator who replays records that were read before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_schemas import records as r
from penstock_schemas import topics as t
from penstock_schemas.ids import execution_id
from penstock_schemas.topics import Topic
from penstock_streams.kit.batch import Message
from tests.simulation.log import EPOCH_US
from tests.simulation.piping import start_pipelines
from tests.simulation.process import SECOND
from tests.simulation.talking import talk

if TYPE_CHECKING:
    from tests.simulation.world import World

REPLAYED = (t.ACCOUNTS_REQUESTS, t.ACCOUNTS_COMMANDS, t.EXECUTIONS_COMMANDS)
WITH_PIPELINES = (*REPLAYED, t.PIPELINES_REQUESTS, t.PIPELINES_COMMANDS)


class Outside:
    """Schedules everything outside processes do in the time of faults."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.scheduler.rng
        self._counts = world.log.counts

    def begin(self) -> None:
        shape, rng = self._world.shape, self._rng
        for tenant, concurrency in shape.limits.items():
            configure = r.ConfigureTenant(tenant_id=tenant, tier="free", concurrency=concurrency)
            self.send(0, t.ACCOUNTS_COMMANDS, configure)
        last = shape.faults_s * 0.7
        for number in range(shape.executions):
            tenant = rng.choice(list(shape.limits))
            request = r.RequestExecution(
                tenant_id=tenant,
                request_id=f"request{number}",
                agent_type="echo",
                input="hello",
                timeout_s=rng.choice((20, 60, 120)),
                max_attempts=rng.choice((1, 2, 3)),
            )
            at = rng.uniform(0.05, last)
            self.send(at, t.ACCOUNTS_REQUESTS, request)
            while rng.random() < shape.duplicates:
                self.send(at + rng.choice((0.0, 5.0, 40.0)) * rng.random(), t.ACCOUNTS_REQUESTS, request)
            if rng.random() < shape.duplicates / 4:
                other = request.model_copy(update={"input": "something else"})
                self.send(at + 1 + rng.random(), t.ACCOUNTS_REQUESTS, other)
            if rng.random() < shape.cancelled:
                cancel = r.CancelExecution(
                    tenant_id=rng.choice((tenant, tenant, tenant, "stranger")),
                    execution_id=execution_id(tenant, request.request_id),
                )
                self.send(max(0.0, at + rng.uniform(-1, 30)), t.ACCOUNTS_REQUESTS, cancel)
        for number in range(rng.randint(0, 4)):
            tenant = rng.choice(list(shape.limits))
            usage = r.RecordUsage(
                tenant_id=tenant, usage_id=f"outside{number}", model="gpt-4", input_tokens=1, output_tokens=1
            )
            at = rng.uniform(0, last)
            self.send(at, t.ACCOUNTS_REQUESTS, usage)
            while rng.random() < shape.duplicates:
                self.send(at + rng.uniform(0, 20), t.ACCOUNTS_REQUESTS, usage)
        if shape.talkers:
            talk(self._world, self)
        if shape.pipelines:
            start_pipelines(self._world, self)
        if shape.duplicates:
            for _ in range(int(shape.duplicates * 40)):
                self._world.scheduler.at(int(rng.uniform(0, shape.faults_s) * SECOND), self._replay)

    def send(self, at_s: float, topic: Topic, record: r.Record) -> None:
        """A record arrives at that time, or somewhere else."""
        self._world.scheduler.at(int(at_s * SECOND), self._arrive, (topic, record))

    def _arrive(self, what: tuple[Topic, r.Record]) -> None:
        topic, record = what
        world = self._world
        partition = topic.partition_of(record, self._counts[topic.name])
        if self._rng.random() < world.shape.misrouted:
            partition = self._rng.randrange(self._counts[topic.name])
        occurred_at = EPOCH_US + world.scheduler.now
        value = world.log.codec.encode(topic.name, record, event_id=world.new_id(), occurred_at=occurred_at)
        world.scheduler.note("outside sends", type(record).__name__, f"to {topic.name}/{partition}")
        world.log.append((topic.name, partition), Message(b"", value))

    def _replay(self, _: object) -> None:
        """Write a record again that everybody could have read, to any partition of its topic."""
        log, rng = self._world.log, self._rng
        topic = rng.choice(WITH_PIPELINES if self._world.shape.pipelines else REPLAYED)
        entries = log.partition((topic.name, rng.randrange(self._counts[topic.name]))).entries
        candidates = [
            entry
            for entry in entries[-30:]
            if entry.value is not None and (entry.transaction is None or entry.transaction.state == "committed")
        ]
        if candidates:
            entry, partition = rng.choice(candidates), rng.randrange(self._counts[topic.name])
            self._world.scheduler.note("outside replays", type(log.record(entry)).__name__, f"to {partition}")
            log.append((topic.name, partition), Message(entry.key, entry.value))
