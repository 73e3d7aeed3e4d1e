"""Handing a process its files, and waiting for its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import ExitStack
from typing import NamedTuple

from penstock_services.sandbox.groups import Group


class Ended(NamedTuple):
    """The end of a process."""

    timed_out: bool
    status: int
    """Its exit status, or a signal's number below 0."""


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
    timed_out = False
    try:
        await asyncio.wait([over], timeout=limit_s)
        timed_out = not over.done()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        if not over.done():
            group.kill()
            os.kill(process.pid, signal.SIGKILL)  # where it has not come to entering the group
        _reap(process)
    return Ended(timed_out, process.returncode)


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.wait()  # has ended or was just killed, so this does not keep the loop waiting
