"""Handing a process its files, and waiting for its end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from penstock_services.sandbox.cgroups import Group

BLOCK_BYTES = 512
"""Unit of what rusage counts as written."""


class Ended(NamedTuple):
    """The end of a process."""

    timed_out: bool
    status: int
    """Its exit status, or a signal's number below 0."""
    written_bytes: int
    """By it, all its children that were waited for, and those that were killed here."""


def memory_file(data: bytes, stack: ExitStack) -> int:
    """A file that holds `data` in memory and is read from its start; closed by `stack`."""
    fd = os.memfd_create("penstock", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


async def until_ended(process: subprocess.Popen[bytes], group: Group, limit_s: float) -> Ended:
    """Wait for the end of `process`; SIGKILL it and its group after `limit_s`, or when cancelled."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    pidfd = os.pidfd_open(process.pid)
    loop.add_reader(pidfd, lambda: None if over.done() else over.set_result(None))
    timed_out, killed_written_bytes = False, 0
    try:
        await asyncio.wait([over], timeout=limit_s)
        timed_out = not over.done()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        if not over.done():
            killed_written_bytes = sum(map(_written_bytes, group.processes()))  # nobody waits for the killed
            group.kill()
            os.kill(process.pid, signal.SIGKILL)  # where it has not come to entering the group
        _, status, used = _reaped(process.pid)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(timed_out, process.returncode, used.ru_oublock * BLOCK_BYTES + killed_written_bytes)


def _written_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:  # it has ended meanwhile
        return 0
    counts = dict(line.split(": ") for line in lines)
    return int(counts.get("write_bytes", 0))


def _reaped(pid: int) -> tuple[int, int, resource.struct_rusage]:
    return os.wait4(pid, 0)  # has ended or was just killed, so this does not keep the loop waiting
