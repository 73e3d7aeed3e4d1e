"""Stopping the stack and whatever an earlier, killed supervisor left; and deleting its data."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from penstock.errors import AlreadyRunning, DataFolderDamaged, StackError
from penstock_services.embedded.identity import ProcessIdentity
from penstock_services.embedded.lock import FolderLock, holder
from penstock_services.embedded.run_file import RunReport
from penstock_services.embedded.state import StateFolder

_SUPERVISOR_STOPS_WITHIN_S = 90.0
"""Every process has its own limit and they stop in a few groups; above this the supervisor itself hangs."""
_KILLED_ENDS_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Stopped:
    """What `down` found."""

    was_running: bool
    left_over: tuple[int, ...] = ()
    """Processes of a killed supervisor that had to be killed."""


def stop(folder: StateFolder) -> Stopped:
    """Stop everything; nothing of the stack runs afterwards. Doing it again does nothing.

    Raises:
        StackError: something could not be stopped; names it.
    """
    if not folder.lock_file.exists():
        return Stopped(was_running=False)
    lock, was_running = _take_over(folder)
    try:
        return Stopped(was_running, _clean(folder))
    finally:
        lock.release()


def purge(folder: StateFolder) -> None:
    """Delete a stopped stack's folder with all its data.

    Raises:
        AlreadyRunning: it runs.
        DataFolderDamaged: the folder is not ours to delete.
    """
    if not folder.exists():
        return
    if not folder.lock_file.exists():
        raise DataFolderDamaged(f"{folder.path} is not a state folder of penstock: it is not deleted")
    lock = FolderLock.take(folder.lock_file)
    try:
        shutil.rmtree(folder.path)
    finally:
        lock.release()


def _take_over(folder: StateFolder) -> tuple[FolderLock, bool]:
    """The folder's lock, and whether somebody had to be stopped for it."""
    started_s, signalled = time.monotonic(), None
    while True:
        try:
            lock = FolderLock.take(folder.lock_file)
        except AlreadyRunning:
            pid = holder(folder.lock_file)
        else:
            while signalled is not None and signalled.is_alive():  # past its last file, not yet past its end
                time.sleep(_LOOK_EVERY_S)
            return lock, signalled is not None
        owner = ProcessIdentity.of(pid) if pid is not None else None
        if owner is not None and owner != signalled:  # also the supervisor, after the `up` that was starting it
            with suppress(ProcessLookupError):
                os.kill(owner.pid, signal.SIGTERM)
            signalled = owner
        elif time.monotonic() - started_s > _SUPERVISOR_STOPS_WITHIN_S:
            if owner is None or time.monotonic() - started_s > _SUPERVISOR_STOPS_WITHIN_S + _KILLED_ENDS_WITHIN_S:
                raise StackError(f"{folder.lock_file} is still held (pid {pid} by its content); stop that process")
            with suppress(ProcessLookupError):
                os.kill(owner.pid, signal.SIGKILL)  # its children die with it
        time.sleep(_LOOK_EVERY_S)


def _clean(folder: StateFolder) -> tuple[int, ...]:
    report = RunReport.read(folder.run_file)
    left_over: set[int] = set()
    deadline = time.monotonic() + _KILLED_ENDS_WITHIN_S
    while report is not None and (alive := report.kill_left_over()):
        left_over.update(alive)
        if time.monotonic() > deadline:
            raise StackError(f"processes {alive} of {folder.path} do not end, even by SIGKILL")
        time.sleep(_LOOK_EVERY_S)
    folder.run_file.unlink(missing_ok=True)
    folder.stack_env.unlink(missing_ok=True)
    return tuple(sorted(left_over))
