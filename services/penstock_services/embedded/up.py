"""Starting the stack: every check before anything is written, then a supervisor in a session of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from penstock import errors
from penstock.errors import InvalidInput, MissingExtra, PenstockError, ProcessFailed, StackError
from penstock_services.embedded.brokers import new_cluster_id, require_broker_count
from penstock_services.embedded.jars import Report, java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.lock import FolderLock
from penstock_services.embedded.logs import open_log, tail_of
from penstock_services.embedded.ports import choose_ports
from penstock_services.embedded.run_file import Failure, RunReport
from penstock_services.embedded.state import Layout, StateFolder
from penstock_services.embedded.supervise import supervise
from penstock_services.embedded.warm_up import ensure_class_archives

Observer = Callable[[RunReport], None]

_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the caller of `up` chose."""

    ports: Mapping[str, int] = field(default_factory=dict)
    """Explicit ports by use."""
    auto_ports: bool = False
    partitions: int | None = None
    """For a new folder; None takes the default or what the folder has."""
    brokers: int | None = None
    """Likewise: 1 or 3."""
    servers_only: bool = False


def prepare(folder: StateFolder, options: UpOptions, report: Report) -> FolderLock:
    """Check everything that can be known before starting, fetch what is missing, and take the folder.

    Order and what a crash costs: 1. checks that write nothing; 2. the lock file (released by the kernel);
    3. downloads (complete or absent); 4. `layout.json` (whole or absent). Each can simply be done again.

    Raises:
        AlreadyRunning, DataFolderDamaged, DiskFull, JavaMissing, PortTaken, MissingExtra, InvalidInput.
    """
    if importlib.util.find_spec("chdb") is None:
        raise MissingExtra(
            "`penstock up` runs ClickHouse in-process; run: pip install 'penstock[platform,embedded]'"
        )
    if options.brokers is not None:
        require_broker_count(options.brokers)
    folder.refuse_foreign()
    folder.require_free_space()
    java = find_java()
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = FolderLock.take(folder.lock_file)
    try:
        if previous := RunReport.read(folder.run_file):
            previous.kill_left_over()
        folder.run_file.unlink(missing_ok=True)
        folder.refuse_half_written()
        kept = _layout(folder, options)
        ports = choose_ports(kept.ports, options.ports, auto=options.auto_ports, brokers=kept.brokers)
        asyncio.run(ensure_class_archives(java, java_servers(report), report))
        folder.save_layout(kept.model_copy(update={"ports": ports}))
    except BaseException:
        lock.release()
        raise
    return lock


def _layout(folder: StateFolder, options: UpOptions) -> Layout:
    """What the folder was made with, or will be."""
    kept = folder.layout()
    if kept is None:
        chosen = {"partitions": options.partitions, "brokers": options.brokers}
        made = Layout.model_validate({name: count for name, count in chosen.items() if count is not None})
        return made if made.brokers == 1 else made.model_copy(update={"cluster_id": new_cluster_id()})
    if options.partitions not in (None, kept.partitions):
        raise InvalidInput(
            f"--partitions {options.partitions}: the topics in {folder.path} have {kept.partitions}, and "
            "partition counts never change under data; leave the option out, or use a new PENSTOCK_HOME"
        )
    if options.brokers not in (None, kept.brokers):
        raise InvalidInput(
            f"--brokers {options.brokers}: the data in {folder.path} is that of {kept.brokers}, and copies of it "
            "are neither made nor merged; leave the option out, use a new PENSTOCK_HOME, or delete the data with "
            "`penstock down --purge`"
        )
    return kept


def run_in_foreground(folder: StateFolder, lock: FolderLock, options: UpOptions, observe: Observer) -> None:
    """Be the supervisor until SIGTERM or Ctrl-C.

    Raises:
        PenstockError: the stack could not start; everything was stopped.
    """
    try:
        asyncio.run(supervise(folder, servers_only=options.servers_only, observe=observe))
    finally:
        lock.release()


def run_detached(folder: StateFolder, lock: FolderLock, options: UpOptions, observe: Observer) -> None:
    """Start the supervisor in its own session and wait until everything is healthy.

    Raises:
        PenstockError: the stack could not start; everything was stopped.
        KeyboardInterrupt: the user gave up waiting; everything was stopped.
    """
    log_path = folder.log_of("supervisor")
    command = [sys.executable, "-m", "penstock_services.embedded.supervise", "--state", str(folder.path)]
    with open_log(log_path) as log:
        log_start = log.tell()
        supervisor = subprocess.Popen(
            [*command, "--lock-fd", str(lock.fd), *(["--servers-only"] if options.servers_only else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lock.fd,),
            start_new_session=True,
        )
    lock.release()
    try:
        report = _wait(folder, supervisor, observe)
    except KeyboardInterrupt:
        os.kill(supervisor.pid, signal.SIGTERM)
        supervisor.wait()
        raise
    if report is not None and report.failure is not None:
        supervisor.wait()
        raise _error_of(report.failure)
    if supervisor.returncode is not None:
        said = tail_of(log_path, since_byte=log_start)
        raise ProcessFailed(f"the supervisor ended before the stack was up. The end of {log_path}:\n{said}")


def _wait(folder: StateFolder, supervisor: subprocess.Popen[bytes], observe: Observer) -> RunReport | None:
    """Until the stack runs or the supervisor is gone; gives the last report."""
    while True:
        ended = supervisor.poll() is not None  # before reading: so the last words are read after the end
        report = RunReport.read(folder.run_file)
        if report is not None:
            observe(report)
        if ended or (report is not None and report.phase == "running"):
            return report
        time.sleep(_LOOK_EVERY_S)


def _error_of(failure: Failure) -> PenstockError:
    kind = getattr(errors, failure.error, StackError)
    error: PenstockError = kind(failure.message)
    return error
