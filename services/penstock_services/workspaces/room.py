"""Whether files fit what is left of a tenant's quota, before any of them is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import QuotaExceeded


def check_room(workspace: Path, sizes_bytes: Sequence[int], what: str) -> None:
    """Refuse files of these sizes where the workspace has no room for all of them.

    Raises:
        QuotaExceeded: it has not; the message begins with `what`.
    """
    room = os.statvfs(workspace)
    blocks = sum(-(-size_bytes // room.f_frsize) for size_bytes in sizes_bytes)
    if blocks > room.f_bavail or len(sizes_bytes) > room.f_favail:
        raise QuotaExceeded(
            f"{what} needs {blocks * room.f_frsize} bytes and {len(sizes_bytes)} files; the tenant has "
            f"{room.f_bavail * room.f_frsize} bytes and {room.f_favail} files left on this host"
        )
