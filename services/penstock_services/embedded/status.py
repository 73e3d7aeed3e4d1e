"""What runs, where, how big, how far behind: `run.json` held against the processes that really live."""

from __future__ import annotations

import time

import psutil
from pydantic import BaseModel

from penstock.errors import KafkaUnreachable
from penstock_services.embedded.addresses import loopback_kafka
from penstock_services.embedded.brokers import MOST_BROKERS, broker_names
from penstock_services.embedded.lag import group_lags
from penstock_services.embedded.run_file import Failure, ProcessReport, RunReport
from penstock_services.embedded.state import StateFolder


class ProcessStatus(BaseModel):
    """One line of `penstock status`."""

    name: str
    state: str
    detail: str
    pid: int | None
    ports: dict[str, int]
    rss_bytes: int
    """Resident memory of the process and everything below it. Pages they share count more than once."""
    restarts: int
    uptime_s: float | None
    log: str


class LagStatus(BaseModel):
    """One consumer group on one topic."""

    group: str
    topic: str
    lag: int


class StackStatus(BaseModel):
    """All of `penstock status --json`."""

    running: bool
    phase: str
    state_folder: str
    supervisor_pid: int | None = None
    uptime_s: float | None = None
    rss_bytes: int = 0
    processes: list[ProcessStatus] = []
    lags: list[LagStatus] = []
    failure: Failure | None = None

    @property
    def healthy(self) -> bool:
        return self.phase == "running" and all(process.state == "healthy" for process in self.processes)


async def stack_status(folder: StateFolder) -> StackStatus:
    """The stack's state now; also when it does not run, or its supervisor was killed.

    Raises:
        DataFolderDamaged: `run.json` cannot be read.
    """
    report = RunReport.read(folder.run_file)
    if report is None:
        return StackStatus(running=False, phase="stopped", state_folder=str(folder.path))
    alive = report.supervisor.process().is_alive()
    processes = [_process_status(process, supervised=alive) for process in report.processes]
    status = StackStatus(
        running=alive,
        phase=report.phase if alive or report.failure else "supervisor killed",
        state_folder=str(folder.path),
        supervisor_pid=report.supervisor.pid if alive else None,
        uptime_s=time.time() - report.started_at_s if alive else None,
        rss_bytes=sum(process.rss_bytes for process in processes),
        processes=processes,
        failure=report.failure,
    )
    if alive:
        status.rss_bytes += _resident_bytes(report.supervisor.pid, whole_tree=False)
        status.lags = await _lags(report)
    return status


async def _lags(report: RunReport) -> list[LagStatus]:
    names = broker_names(MOST_BROKERS)
    ports = [each.ports[each.name] for each in report.processes if each.name in names and each.state == "healthy"]
    if not ports:
        return []
    settings = loopback_kafka(",".join(f"127.0.0.1:{port}" for port in ports))
    try:
        return [LagStatus(group=lag.group, topic=lag.topic, lag=lag.lag) for lag in await group_lags(settings)]
    except KafkaUnreachable:  # they ended since; the next status says so
        return []


def _process_status(report: ProcessReport, *, supervised: bool) -> ProcessStatus:
    alive = report.identity is not None and report.identity.process().is_alive()
    pid = report.identity.pid if alive and report.identity is not None else None
    state = report.state if alive or (supervised and report.state in ("waiting", "restarting")) else "stopped"
    return ProcessStatus(
        name=report.name,
        state=state,
        detail=report.detail,
        pid=pid,
        ports=report.ports,
        rss_bytes=_resident_bytes(pid, whole_tree=True) if pid is not None else 0,
        restarts=report.restarts,
        uptime_s=time.time() - report.started_at_s if alive and report.started_at_s is not None else None,
        log=report.log,
    )


def _resident_bytes(pid: int, *, whole_tree: bool) -> int:
    total = 0
    try:
        process = psutil.Process(pid)
        tree = [process, *(process.children(recursive=True) if whole_tree else [])]
    except psutil.NoSuchProcess:
        return 0
    for each in tree:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
