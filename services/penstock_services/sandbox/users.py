"""A user of its own for every slot of a host, also of several workers that share the folder of claims."""

from __future__ import annotations

import fcntl
import os
from functools import cache
from pathlib import Path

from penstock.errors import SandboxUnavailable

USERS = 65_536


@cache
def claimed_uid(folder: Path, first_uid: int) -> int:
    """A user id that no other process has claimed in `folder`; this process's until it ends, however it does.

    Args:
        folder: of the locks, made if missing.
        first_uid: the lowest.

    Raises:
        SandboxUnavailable: the folder cannot be written, or all are taken.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.parent.chmod(0o711)
        for uid in range(first_uid, first_uid + USERS):
            fd = os.open(folder / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
            else:
                return uid  # the open file is the claim
    except OSError as exc:
        raise SandboxUnavailable(f"no user can be claimed in {folder}: {exc} (PENSTOCK_SANDBOX_FOLDER)") from exc
    raise SandboxUnavailable(f"all {USERS} users from {first_uid} are taken on this host")
