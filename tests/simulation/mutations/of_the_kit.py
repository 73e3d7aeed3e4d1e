"""Guards of the exactly-once task and of the log beneath it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition

from penstock_streams.kit.alarm import Alarm
from penstock_streams.kit.batch import Message
from penstock_streams.kit.fold import Fold
from penstock_streams.kit.intake import Arrived
from penstock_streams.kit.rows import POSITION_KEY
from tests.simulation import stages
from tests.simulation.log import Entry, PartitionLog, Target
from tests.simulation.mutations.base import Mutation
from tests.simulation.process import SECOND, Process
from tests.simulation.stages import Inputs, Producer, StreamsProcess

Batches = Mapping[Target, Sequence[Message]]


class _Unfenced(Producer):
    def __init__(self, process: Any, transactional_id: str) -> None:
        super().__init__(process, f"{transactional_id}/{process.world.new_id()}")


class _PositionFirst(Producer):
    async def send(self, batches: Batches) -> dict[TopicPartition, int]:
        position, rest = _split(batches)
        await super().send(position)
        await super().commit({})
        return await super().send(rest)


class _PositionLast(Producer):
    async def send(self, batches: Batches) -> dict[TopicPartition, int]:
        self._position, rest = _split(batches)
        return await super().send(rest)

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        await super().commit(next_offsets)
        await super().send(self._position)
        await super().commit({})


def _split(batches: Batches) -> tuple[Batches, Batches]:
    """The position row, and everything else."""
    ((changelog, rows),) = [each for each in batches.items() if each[0][0].endswith("-changelog")]
    position = {changelog: [message for message in rows if message.key == POSITION_KEY]}
    return position, {**batches, changelog: [message for message in rows if message.key != POSITION_KEY]}


class _FencesLate(Producer):
    """Fences once the table has been rebuilt."""

    waiting: dict[tuple[str, str], _FencesLate] = {}  # noqa: RUF012  # of one world at a time

    async def start(self) -> None:
        self.waiting[self._process.id, self.transactional_id] = self


_recover = StreamsProcess._recover


async def _recover_then_fence(
    self: StreamsProcess, store: Any, changelog: TopicPartition, *_: Any, **__: Any
) -> int:
    applied = await _recover(self, store, changelog)
    stage = changelog.topic.removeprefix("penstock-").removesuffix("-changelog")
    await Producer.start(_FencesLate.waiting.pop((self.id, f"{stage}/{changelog.partition}")))
    return applied


async def _have_read(self: Inputs, ends: Mapping[str, int]) -> bool:
    return True


_read, _record, _wall = PartitionLog.read, Fold.record, Process.wall


def _wall_jumps(self: Process, true_us: int | None = None) -> int:
    at = self.scheduler.now if true_us is None else true_us
    return _wall(self, at) + (20 * SECOND if at > 30 * SECOND else 0)


def _read_all(self: PartitionLog, position: int, at_most: int, **_: object) -> tuple[list[Entry], int]:
    return _read(self, position, at_most, committed=False)


def _keep(self: Fold, arrived: Arrived) -> None:
    _record(self, msgspec.structs.replace(arrived, home=self._facts.partition))


KIT = {
    "no-fencing": Mutation("a new owner does not fence the old one", ((stages, "Producer", _Unfenced),)),
    "fencing-after-recovery": Mutation(
        "a new owner rebuilds its table before it fences the old one",
        ((stages, "Producer", _FencesLate), (StreamsProcess, "_recover", _recover_then_fence)),
        {"kinds": ("stop", "rebalance"), "hit": 0.02, "strikes_every_s": 8.0, "partitions": 2},
    ),
    "position-first": Mutation(
        "the input position is committed before what it stands for", ((stages, "Producer", _PositionFirst),)
    ),
    "position-last": Mutation(
        "the input position is committed after what it stands for", ((stages, "Producer", _PositionLast),)
    ),
    "reading-uncommitted": Mutation(
        "readers see open and aborted transactions", ((PartitionLog, "read", _read_all),)
    ),
    "misrouted-kept": Mutation("a record is folded on whatever partition it lies", ((Fold, "record", _keep),)),
    "misrouted-dropped": Mutation(
        "a record on a foreign partition is passed over", ((Fold, "_forward", lambda self, arrived: None),)
    ),
    "timers-on-unread-input": Mutation(
        "timers do not wait until the inputs are read", ((Inputs, "have_read", _have_read),)
    ),
    "clock-set-forward": Mutation(
        "the wall clock of a running owner is set forward by 20 s", ((Process, "wall", _wall_jumps),)
    ),
    "no-grace": Mutation("a new owner lets leases expire at once", ((Alarm, "_grace_over", lambda self: True),)),
}
