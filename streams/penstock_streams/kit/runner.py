"""Runs stages: one Faust app, one task per assigned partition and stage."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType

from aiokafka import TopicPartition

from penstock.settings import KafkaSettings
from penstock_schemas.codec import Codec
from penstock_schemas.topics import DEAD_LETTERS
from penstock_services.consuming import Standing
from penstock_services.topic_admin import kafka_admin
from penstock_streams.kit._faust import Membership, Partitions
from penstock_streams.kit.api import Stage
from penstock_streams.kit.batch import TaskFacts
from penstock_streams.kit.clock import BrokerClock
from penstock_streams.kit.errors import PartitionCountMismatch
from penstock_streams.kit.grace import check_grace
from penstock_streams.kit.inputs import TaskInputs
from penstock_streams.kit.parts import TaskParts
from penstock_streams.kit.producer import BATCH_BYTES, TransactionalProducer
from penstock_streams.kit.recovery import catch_up
from penstock_streams.kit.settings import StreamsSettings
from penstock_streams.kit.shown import show
from penstock_streams.kit.store import MemoryStore, RocksMemory, RocksStore, Store
from penstock_streams.kit.task import Task
from penstock_streams.kit.topology import Topology, changelog_name, load_topology

COLLECTED_AFTER = (50_000, 20, 50)
"""For `gc.set_threshold`: what a batch allocates lives as long as it does, and almost none of it is in a cycle."""


class StageRunner:
    """Runs `stages` for as long as it is entered. Use as an async context manager, then `wait_for_failure`.

    Args:
        codec: the runner resolves what it writes; the caller closes its registry.
        clock: microseconds since the epoch; None for the brokers' time.

    Raises (on entering):
        KafkaUnreachable: no broker answers.
        StreamsError: the cluster, the timeouts or Faust are not what the stages need.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        settings: StreamsSettings,
        codec: Codec,
        *,
        kafka: KafkaSettings | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._stages = tuple(stages)
        self._settings = settings
        self._codec = codec
        self._kafka = kafka or KafkaSettings()
        self._broker_clock = BrokerClock()
        self._setting_clock = asyncio.Lock()
        self._clock = clock or self._broker_clock
        self._topology: Topology | None = None
        self._membership: Membership | None = None
        self._tasks: list[Task] | None = None
        self._stores: dict[tuple[str, int], Store] = {}
        self._rocks_memory = RocksMemory(settings.store_memory_mib << 20)
        self._failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._beside: list[asyncio.Task[None]] = []
        self._stopping = False

    def ready(self) -> str | None:
        """None while every assigned partition is processed; otherwise what is waited for."""
        if self._failed.done():
            return f"failed: {self._failed.result()}"
        if self._tasks is None:
            return "waiting for partitions to be assigned"
        waiting = [f"{task.name} waits for {task.waiting_for}" for task in self._tasks if task.waiting_for]
        return "; ".join(waiting) or None

    def standings(self) -> Iterator[Standing]:
        """How far every input partition is that this process has."""
        for task in self._tasks or ():
            yield from task.standings()

    async def wait_for_failure(self) -> BaseException:
        """The error that ended a task or the membership. Only a new process goes on from there."""
        return await asyncio.shield(self._failed)

    async def __aenter__(self) -> StageRunner:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        self._topology = topology = await load_topology(self._stages, self._settings, self._kafka)
        for stage in self._stages:
            check_grace(stage, self._settings, topology.abort_scan_s)
        outputs = {topic.name: topic for stage in self._stages for topic in stage.outputs}
        await self._codec.prepare_writers([*outputs.values(), DEAD_LETTERS])
        self._membership = Membership(
            self._stages,
            topology.partitions.__getitem__,
            self._settings,
            self._kafka,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
        )
        await self._membership.start()
        self._beside = [
            asyncio.create_task(self._watch(self._membership)),
            asyncio.create_task(show(self._positions, self._membership.commit)),
        ]

    async def _stop(self) -> None:
        self._stopping = True
        for each in self._beside:
            each.cancel()
        await self._revoked()
        if self._membership is not None:
            await self._membership.stop()
        for store in self._stores.values():
            store.close()

    async def _watch(self, membership: Membership) -> None:
        self._fail(await membership.lost())

    def _positions(self) -> Iterator[Mapping[TopicPartition, int]]:
        return (task.shown() for task in self._tasks or ())

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_result(error)

    async def _revoked(self) -> None:
        tasks, self._tasks = self._tasks or (), None
        await asyncio.gather(*(task.stop() for task in tasks))

    async def _assigned(self, partitions: Partitions) -> None:
        """Start a task for every assigned partition; also for one we had, because only fencing proves we do."""
        await self._revoked()
        if self._stopping or self._failed.done():
            return
        try:
            self._tasks = [self._task(stage, number) for stage, number in self._owned(partitions)]
        except Exception as exc:
            self._fail(exc)
            return
        owned = {task.name for task in self._tasks}
        for key in [key for key in self._stores if f"{key[0]}/{key[1]}" not in owned]:
            self._stores.pop(key).close()
        for task in self._tasks:
            task.start(self._fail)

    def _owned(self, partitions: Partitions) -> list[tuple[Stage, int]]:
        owned: list[tuple[Stage, int]] = []
        for stage in self._stages:
            by_input = [{number for topic, number in partitions if topic == each.name} for each in stage.inputs]
            if any(numbers != by_input[0] for numbers in by_input):
                raise PartitionCountMismatch(f"the inputs of {stage.name} were assigned apart: {by_input}")
            owned += [(stage, number) for number in sorted(by_input[0])]
        return owned

    def _task(self, stage: Stage, partition: int) -> Task:
        assert self._topology is not None
        topology, settings, options = self._topology, self._settings, self._kafka.client_options()
        changelog = changelog_name(settings.app_id, stage.name)
        producer = TransactionalProducer(
            f"{settings.app_id}-{stage.name}-{partition}",
            settings.app_id,
            options,
            transaction_timeout_s=settings.transaction_timeout_s,
            batch_bytes={topic: min(limit, BATCH_BYTES) for topic, limit in topology.record_bytes.items()},
            renewal_records=settings.producer_renewal_records,
            clock=self._broker_clock,
        )
        parts = TaskParts(
            facts=TaskFacts(stage, partition, changelog, topology.partitions, topology.record_bytes),
            settings=settings,
            codec=self._codec,
            store=self._store(stage.name, partition),
            producer=producer,
            inputs=TaskInputs([TopicPartition(topic.name, partition) for topic in stage.inputs], options),
            client_options=options,
            committed=self._committed,
            clock=self._clock,
            set_clock=self._set_clock,
            recover=catch_up,
        )
        return Task(parts, running=self._freeze_once_all_run)

    def _store(self, stage: str, partition: int) -> Store:
        """Kept while this process has the partition: the next owner of it, if that is us, only catches up."""
        assert self._topology is not None
        key = (stage, partition)
        if key not in self._stores:
            folder = self._settings.data_dir / self._topology.cluster_id / f"{self._settings.app_id}-{stage}"
            in_memory = self._settings.store == "memory"
            self._stores[key] = (
                MemoryStore() if in_memory else RocksStore(folder / str(partition), self._rocks_memory)
            )
        return self._stores[key]

    async def _set_clock(self, commit: Callable[[], Awaitable[None]]) -> None:
        """One task's batch sets it for all."""
        async with self._setting_clock:
            if not self._broker_clock.is_set:
                await commit()

    async def _committed(self) -> Mapping[TopicPartition, int]:
        async with kafka_admin(self._kafka) as admin:
            offsets = await admin.list_consumer_group_offsets(self._settings.app_id)
        return {partition: found.offset for partition, found in offsets.items() if found.offset >= 0}

    def _freeze_once_all_run(self) -> None:
        """What start-up allocated stays: keep the collector from walking it, and from walking each batch anew."""
        if self.ready() is None:
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECTED_AFTER)
