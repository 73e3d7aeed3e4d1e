"""Whether the disk has room for more attempts."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

log = logging.getLogger("penstock.worker")

LOOK_EVERY_S = 1.0


class Room:
    """Free space for workspaces. A worker without any would fail whatever it took, and quickly, so that it would
    take more than its share.

    Args:
        folder: where workspaces are.
        min_free_bytes: below this much on its file system no attempt is taken.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes

    def lacking(self) -> str | None:
        """Why there is not enough; None where there is."""
        found = os.statvfs(self._folder)
        free_bytes = found.f_bavail * found.f_frsize
        if free_bytes >= self._min_free_bytes:
            return None
        return (
            f"disk full: {free_bytes} bytes free at {self._folder}, below {self._min_free_bytes} "
            "(PENSTOCK_WORKER_MIN_FREE_BYTES); no attempts are taken until there is more"
        )

    async def until_enough(self) -> None:
        """Wait until there is; says once that and why it waits."""
        said = False
        while True:
            if (reason := self.lacking()) is None:
                break
            if not said:
                log.error(reason)
                said = True
            await asyncio.sleep(LOOK_EVERY_S)
        if said:
            log.info("there is room for attempts again at %s", self._folder)
