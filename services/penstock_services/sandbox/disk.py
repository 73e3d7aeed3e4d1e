"""How full a workspace's file system is."""

from __future__ import annotations

import os
from pathlib import Path

FULL_BLOCKS = 16
"""A file system with fewer free blocks has refused what it was given: ext4 keeps a few for itself."""


def volume_bytes(workspace: Path) -> int:
    """Bytes in use on the workspace's own volume; 0 where it has none."""
    if not os.path.ismount(workspace.parent):
        return 0
    found = os.statvfs(workspace)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def is_full(workspace: Path) -> bool:
    """Whether the workspace's file system has no room for another block or file."""
    found = os.statvfs(workspace)
    return found.f_bavail < FULL_BLOCKS or found.f_favail == 0
