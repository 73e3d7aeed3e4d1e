"""One worker: its connections, its loops, and how it starts and stops."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from penstock.artifacts import store_of
from penstock.settings import ArtifactSettings, KafkaSettings, RegistrySettings
from penstock_consumers.worker.attempts import Attempts
from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.claims import Claims
from penstock_consumers.worker.dispatches import DispatchReader
from penstock_consumers.worker.lease_feed import LeaseFeed
from penstock_consumers.worker.leases import LeaseTable
from penstock_consumers.worker.metrics import LEASES_HELD
from penstock_consumers.worker.outbox import Outbox
from penstock_consumers.worker.pool import SlotPool
from penstock_consumers.worker.provision import Provision
from penstock_consumers.worker.room import Room
from penstock_consumers.worker.settings import WorkerSettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import EXECUTIONS_COMMANDS
from penstock_services.consuming import Standing
from penstock_services.sandbox.settings import SandboxSettings

BEAT_SLOTS = 10
"""Moments within a heartbeat's interval at which workers send theirs."""
WATCH_S = 0.25
"""How often lease deadlines are compared with the clock; the margin has room for it."""


class Worker:
    """Serves until it is told to drain.

    Args:
        settings: this worker's.
        kafka, registry, artifacts: where the servers are.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        kafka: KafkaSettings,
        registry: RegistrySettings,
        artifacts: ArtifactSettings,
    ) -> None:
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._settings = settings
        self._kafka = kafka
        self._registry = registry
        self._store = store_of(artifacts)
        self._pool = SlotPool(settings.concurrency)
        self._provision = Provision(settings, SandboxSettings())
        self._leases = LeaseTable(settings.lease_margin_s)
        self._reading: Sequence[LeaseFeed | DispatchReader] = ()
        self._room: Room | None = None
        self._drain = asyncio.Event()
        self._state = "starting: not connected to Kafka and the registry yet"

    def drain(self) -> None:
        """Stop taking attempts; `serve` returns once the running ones ended or were handed back."""
        self._drain.set()

    @property
    def starting(self) -> bool:
        """Whether `serve` has not come to taking attempts yet."""
        return self._state.startswith("starting")

    def not_ready(self) -> str | None:
        """Why this worker takes no attempts; None where it does."""
        if not self._state and not self._pool.started:
            return "starting: the slots are not ready yet"
        if self._state or self._room is None:
            return self._state or None
        return self._room.lacking()

    def standings(self) -> Iterator[Standing]:
        """How far everything this worker reads is read."""
        for reader in self._reading:
            yield from reader.standings()

    async def serve(self) -> None:
        """Work until `drain`.

        Raises:
            KafkaUnreachable: it stayed away at start, or did not take a record.
            ContractError: the schemas are not registered.
            ProcessFailed: the slots do not start.
            SandboxUnavailable: this host cannot hold a tier the worker should serve; it says which, and why.
        """
        await self._provision.check()
        async with SchemaRegistry(self._registry.url) as registry:
            outbox = Outbox(self._kafka, Codec(registry), self._settings.start_wait_s)
            async with outbox:
                with tempfile.TemporaryDirectory(prefix="penstock-worker-") as workspaces:
                    await self._serve(outbox, Path(workspaces))

    async def _serve(self, outbox: Outbox, workspaces: Path) -> None:
        settings = self._settings
        claims = Claims(
            outbox, self.worker_id, retry_s=settings.claim_retry_s, patience_s=settings.claim_patience_s
        )
        attempts = Attempts(
            self.worker_id, outbox, claims, self._leases, self._pool, self._store, workspaces, self._provision
        )
        feed = LeaseFeed(self.worker_id, self._kafka, outbox)
        self._room = room = Room((workspaces, *self._provision.folders), settings.min_free_bytes)
        readers = [
            DispatchReader(queue, self._kafka, outbox, self._pool, room, settings.session_timeout_s)
            for queue in settings.queues
        ]
        self._reading = (feed, *readers)
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = [tasks.create_task(self._pool.keep())]
                await feed.start(settings.start_wait_s)
                keeping += [
                    tasks.create_task(loop)
                    for loop in (
                        outbox.until_lost(),
                        attempts.until_failed(),
                        self._listen(feed, attempts),
                        self._beat(outbox),
                        self._watch(attempts),
                        self._provision.reap_for_ever(),
                    )
                ]
                for reader in readers:
                    await reader.start(settings.start_wait_s)
                loops = [loop for reader in readers for loop in (reader.read(attempts.take), reader.commit())]
                reading = [tasks.create_task(loop) for loop in loops]
                self._state = ""
                await self._drain.wait()
                self._state = "draining: takes nothing new"
                await _cancelled(reading)
                self._reading = (feed,)
                # At once: what is handed back must find its partition with a worker that reads it.
                leaving = [tasks.create_task(reader.stop()) for reader in readers]
                await attempts.drain(settings.drain_s)
                await asyncio.wait(leaving)
                await _cancelled(keeping)
        finally:
            await asyncio.gather(*(reader.stop() for reader in readers), feed.stop())

    async def _listen(self, feed: LeaseFeed, attempts: Attempts) -> None:
        async for answer in feed.answers():
            await attempts.hear(answer)

    async def _beat(self, outbox: Outbox) -> None:
        while True:
            await asyncio.sleep(until_next_beat_s(time.time(), self._settings.heartbeat_s))
            for beat in self._leases.beat(boottime_s()):
                heartbeat = r.Heartbeat(
                    tenant_id=r.SYSTEM_TENANT,
                    partition=beat.partition,
                    worker_id=self.worker_id,
                    heartbeat_seq=beat.seq,
                    leases=[r.HeldLease(execution_id=key.execution_id, epoch=key.epoch) for key in beat.leases],
                )
                await outbox.send(EXECUTIONS_COMMANDS, heartbeat)

    async def _watch(self, attempts: Attempts) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            attempts.lose_expired()
            LEASES_HELD.set(len(self._leases))


def until_next_beat_s(now_s: float, heartbeat_s: float) -> float:
    """Seconds until the next heartbeat, `heartbeat_s` at most.

    It falls on a multiple of a tenth of that by the wall clock, for all workers alike: heartbeats that come
    together share a transaction of the lease authority, which costs it the same for one as for a hundred.
    """
    slot_s = heartbeat_s / BEAT_SLOTS
    late_s: float = (now_s + heartbeat_s) % slot_s
    return heartbeat_s - late_s


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
