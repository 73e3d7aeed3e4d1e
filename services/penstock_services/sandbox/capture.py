"""The end of what a command prints, without ever holding more."""

from __future__ import annotations

import asyncio
import os

READ_BYTES = 256 * 1024


class Capture:
    """Reads a pipe until everyone closed it, keeping the last `limit_bytes`.

    Args:
        fd: the reading end; closed here.
        limit_bytes: how much is kept.
    """

    def __init__(self, fd: int, limit_bytes: int) -> None:
        self._fd = fd
        self._limit_bytes = limit_bytes
        self._tail = bytearray()
        self._total_bytes = 0
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    @property
    def output(self) -> bytes:
        """What was kept so far."""
        return bytes(self._tail)

    @property
    def truncated(self) -> bool:
        """Whether there was more."""
        return self._total_bytes > len(self._tail)

    def close(self) -> None:
        """Read no more."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            if not self.over.done():
                self.over.set_result(None)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        self._total_bytes += len(data)
        self._tail += data
        del self._tail[: max(0, len(self._tail) - self._limit_bytes)]
