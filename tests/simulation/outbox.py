"""A process's idempotent producer: in order per partition, each record once, acknowledged."""

from __future__ import annotations

from penstock_schemas.records import Record
from penstock_schemas.topics import Topic
from penstock_streams.kit.batch import Message
from tests.simulation.log import EPOCH_US, Target
from tests.simulation.process import Process
from tests.simulation.scheduler import Box


class Outbox:
    """Of one incarnation of a process. What a kill leaves unsent is lost; what is on the wire still arrives."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        self._incarnation = process.incarnation
        self._arrives: dict[Target, int] = {}
        self._wire_ends: int | None = None

    def died(self) -> None:
        """The process was killed: the network delivers for a moment longer."""
        self._wire_ends = self._world.scheduler.now + self._world.scheduler.rng.randrange(50_000)

    def send(self, topic: Topic, record: Record) -> Box:
        """Send, and get a box that is full once the record is in the log and its sender knows."""
        world, now = self._world, self._world.scheduler.now
        target = (topic.name, topic.partition_of(record, world.log.counts[topic.name]))
        value = world.log.codec.encode(
            topic.name, record, event_id=record.event_id or world.new_id(), occurred_at=EPOCH_US + now
        )
        arrives = self._arrives[target] = max(now + world.write_us(topic.name), self._arrives.get(target, 0) + 1)
        acknowledged = Box()
        message = Message(topic.routing_key(record).encode(), value)
        world.scheduler.at(arrives, self._arrive, (target, message, acknowledged))
        return acknowledged

    def _arrive(self, what: tuple[Target, Message, Box]) -> None:
        world, now = self._world, self._world.scheduler.now
        if self._wire_ends is not None and now > self._wire_ends:
            return
        if self._wire_ends is None and self._process.cut_until > now:
            world.scheduler.at(self._process.cut_until, self._arrive, what)
            return
        target, message, acknowledged = what
        world.log.append(target, message)
        world.scheduler.at(now + world.trip_us(), lambda _: acknowledged.put())
