"""One world of the harness: a broker, a database, and our own processes, all with short times."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import penstock
from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_services.embedded.ports import free_ports
from penstock_services.embedded.probes import http_probe
from penstock_services.embedded.process import ServerProcess
from tests.faults.cut import Wire
from tests.faults.evidence import Evidence
from tests.faults.kept import Kept, until
from tests.faults.servers import Broker

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
HOLD_S = 6.0
"""Of a lease. Longer than what a stopped streams process can hide (transaction timeout, abort scan, heartbeat:
3 + 1 + 1 s), which start-up checks."""
SESSION_S = 3.0
"""Of a streams process in its group."""
MIN_FREE_BYTES = 1024 * 1024
"""For a worker to take attempts: less than a small disk has (`mounts.SIZE_BYTES`)."""
SETTINGS = {
    "PENSTOCK_LEASE_HOLD_S": str(HOLD_S),
    "PENSTOCK_STREAMS_SESSION_TIMEOUT_S": str(SESSION_S),
    "PENSTOCK_STREAMS_TRANSACTION_TIMEOUT_S": "3",
    "PENSTOCK_STREAMS_HEARTBEAT_S": "1",
    "PENSTOCK_WORKER_SESSION_TIMEOUT_S": "3",
    "PENSTOCK_WORKER_HEARTBEAT_S": "1",
    "PENSTOCK_WORKER_LEASE_MARGIN_S": "1.5",
    "PENSTOCK_WORKER_DRAIN_S": "0",
    "PENSTOCK_WORKER_TIERS": "",  # these agents run no commands, and a restart should not wait for canaries
    "PENSTOCK_WORKER_MIN_FREE_BYTES": str(MIN_FREE_BYTES),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was done to a process."""

    what: str
    name: str
    pid: int
    at_s: float
    """Seconds since the epoch."""


@dataclass
class World:
    """Two streams processes, two workers and a loader. The second worker and the second streams process are
    connected to the broker by wires that can be cut."""

    folder: Path
    registry_url: str
    broker: Broker
    clickhouse_engine: Kept
    clickhouse: ClickHouseSettings
    evidence: Evidence
    guard: str = ""
    """Switched off in every process."""
    marks: list[Mark] = field(default_factory=list)
    streams: list[Kept] = field(default_factory=list)
    workers: list[Kept] = field(default_factory=list)
    loaders: list[Kept] = field(default_factory=list)

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.broker.bootstrap)

    @property
    def registry(self) -> RegistrySettings:
        return RegistrySettings(url=self.registry_url)

    @property
    def ours(self) -> Sequence[Kept]:
        return (*self.streams, *self.workers, *self.loaders)

    def wire_of(self, process: Kept) -> Wire:
        return self.broker.wires[(self.workers[1], self.streams[1]).index(process)]

    def client(self) -> penstock.Client:
        """How the load submits: as any service would."""
        artifacts = ArtifactSettings(url=(self.folder / "artifacts").as_uri())
        return penstock.Client(
            kafka=self.kafka, registry=self.registry, clickhouse=self.clickhouse, artifacts=artifacts
        )

    def process(self, command: str, name: str, bootstrap: str | None = None) -> Kept:
        """A process of ours, not started yet."""
        (port,) = free_ports(1)
        run = ("tests.faults.unguarded", self.guard) if self.guard else ("penstock",)
        return Kept(
            ServerProcess(
                name=name,
                argv=(sys.executable, "-m", *run, command),
                env={
                    **self.environment(bootstrap or self.broker.bootstrap),
                    "PENSTOCK_HEALTH_PORT": str(port),
                    "PENSTOCK_STREAMS_DATA_DIR": str(self.folder / name),
                },
                log_path=self.folder / f"{name}.log",
                health=http_probe(f"http://127.0.0.1:{port}/healthz"),
            )
        )

    def environment(self, bootstrap: str) -> dict[str, str]:
        clickhouse = self.clickhouse
        return {
            **SETTINGS,
            "PYTHONPATH": os.pathsep.join([str(self.folder / "site"), str(ROOT)]),
            "PENSTOCK_HOME": str(self.folder / "home"),
            "PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "PENSTOCK_REGISTRY_URL": self.registry_url,
            "PENSTOCK_CLICKHOUSE_HOST": clickhouse.host,
            "PENSTOCK_CLICKHOUSE_PORT": str(clickhouse.port),
            "PENSTOCK_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
            "PENSTOCK_CLICKHOUSE_DATABASE": clickhouse.database,
            "PENSTOCK_ARTIFACTS_URL": (self.folder / "artifacts").as_uri(),
        }

    async def until_busy(self, worker: Kept) -> None:
        """Wait until it runs an attempt that is not about to end: to strike an idle worker shows nothing."""

        async def busy() -> bool:
            await self.evidence.read_on()
            return self.evidence.steps_to_go_on(worker.pid)

        await until(busy, f"{worker.name} is in the middle of an attempt")

    # What faults do

    def mark(self, what: str, process: Kept, at_s: float | None = None) -> None:
        self.marks.append(Mark(what, process.name, process.pid, time.time() if at_s is None else at_s))

    async def kill(self, process: Kept, mark: str = "killed") -> None:
        """SIGKILL; returns once it has ended. It is started again at once."""
        ended = len(process.exits)
        self.mark(mark, process, process.send(signal.SIGKILL))
        await process.until_ended(ended + 1)

    async def terminate(self, process: Kept) -> None:
        """SIGTERM; returns once its successor is healthy."""
        ended = len(process.exits)
        self.mark("terminated", process, process.send(signal.SIGTERM))
        await process.until_ended(ended + 1)
        await process.until_healthy()

    async def freeze(self, process: Kept, for_s: float) -> None:
        """SIGSTOP, and SIGCONT `for_s` seconds later; returns once it, or its successor, is healthy."""
        self.mark("frozen", process, process.send(signal.SIGSTOP))
        await asyncio.sleep(for_s)  # the length of the fault
        self.mark("thawed", process, process.send(signal.SIGCONT))
        await process.until_healthy()

    async def cut_off(self, process: Kept, for_s: float) -> None:
        """Let nothing pass between a wired process and the broker for `for_s` seconds."""
        wire = self.wire_of(process)
        wire.cut()
        self.mark("cut off", process)
        await asyncio.sleep(for_s)  # the length of the fault
        wire.mend()
        self.mark("mended", process)
        await process.until_healthy()

    async def restart_with(self, process: Kept, **environment: str) -> None:
        """SIGTERM, and a start with these variables, which stay for all later starts."""
        process.always(**environment)
        ended = len(process.exits)
        process.send(signal.SIGTERM)
        await process.until_ended(ended + 1)
        await process.until_healthy()

    async def restart_armed(self, process: Kept, crash_at: str) -> None:
        """Start it again such that it stops or kills itself at a step of the commit order (`kit/_faults.py`)."""
        ended = len(process.exits)
        process.arm(PENSTOCK_CRASH_AT=crash_at)
        process.send(signal.SIGKILL)
        await process.until_ended(ended + 1)

    async def restart_armed_with_backlog(self, process: Kept, crash_at: str) -> None:
        """The same while no other streams process runs: its first batches hold what came meanwhile."""
        others = [other for other in self.streams if other is not process]
        for other in others:
            other.hold()
            await self.kill(other)
        await self.restart_armed(process, crash_at)
        for other in others:
            other.let_go()
