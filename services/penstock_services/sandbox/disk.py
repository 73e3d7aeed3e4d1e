"""How full a workspace's file system is."""

from __future__ import annotations

import os
from pathlib import Path

FULL_BYTES = 1024 * 1024
"""With less free than this, a file system may refuse what it is given: ext4 takes a write that comes in one large
page as a whole or not at all."""


def volume_bytes(workspace: Path) -> int:
    """Bytes in use on the workspace's own volume; 0 where it has none."""
    if not os.path.ismount(workspace.parent):
        return 0
    found = os.statvfs(workspace)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def is_full(workspace: Path) -> bool:
    """Whether the workspace's file system has no room for another block or file."""
    found = os.statvfs(workspace)
    return found.f_bavail * found.f_frsize < FULL_BYTES or found.f_favail == 0
