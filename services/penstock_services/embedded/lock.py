"""Who owns a state folder: an flock on one file, which the kernel releases however its owner ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from penstock.errors import AlreadyRunning


class FolderLock:
    """An exclusive hold on a state folder. `up` takes it and hands it to the supervisor by inheritance."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, path: Path) -> FolderLock:
        """Take the lock file at `path` and write this process's pid into it.

        Raises:
            AlreadyRunning: another process holds it; names its pid.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise AlreadyRunning(
                f"{path.parent} belongs to a running `penstock up` (pid {holder(path)}); "
                "`penstock status` shows it, `penstock down` stops it"
            ) from None
        lock = cls(fd)
        lock.sign()
        return lock

    @classmethod
    def inherited(cls, fd: int) -> FolderLock:
        """The lock a parent process took and passed on as `fd`."""
        os.set_inheritable(fd, False)  # servers must not hold it on
        lock = cls(fd)
        lock.sign()
        return lock

    def sign(self) -> None:
        """Write this process's pid as the holder."""
        text = f"{os.getpid()}\n".encode()
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))

    def release(self) -> None:
        """Close this process's hold. The lock is free once every process that inherited it has closed its own."""
        os.close(self.fd)


def holder(path: Path) -> int | None:
    """The pid written in the lock file; whether that process still holds it is another question."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
