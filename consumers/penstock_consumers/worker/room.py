"""Whether the disk has room for more attempts."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("penstock.worker")

LOOK_EVERY_S = 1.0


class Room:
    """Free space for workspaces. A worker without any would fail whatever it took, and quickly, so that it would
    take more than its share.

    Args:
        folders: where workspaces are.
        min_free_bytes: below this much on the file system of one of them no attempt is taken.
    """

    def __init__(self, folders: Sequence[Path], min_free_bytes: int) -> None:
        self._folders = folders
        self._min_free_bytes = min_free_bytes

    def lacking(self) -> str | None:
        """Why there is not enough; None where there is."""
        free_bytes = {folder: shutil.disk_usage(folder).free for folder in self._folders}
        full = [f"{free} bytes free at {at}" for at, free in free_bytes.items() if free < self._min_free_bytes]
        if not full:
            return None
        return (
            f"disk full: {', '.join(full)}, below {self._min_free_bytes} (PENSTOCK_WORKER_MIN_FREE_BYTES); "
            "no attempts are taken until there is more"
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
            log.info("there is room for attempts again")
