"""A tenant's file system on this host: a sparse file of its quota's size, ext4, loop-mounted.

All workspaces the tenant has on the host lie in it, so that the kernel refuses the byte that would be over the
quota, wherever it is written from.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from penstock.errors import WorkspaceError

BYTES_PER_INODE = 8192
"""An inode costs 256 bytes of the quota: 3 %, for small files without end."""
MANY_INODES_BELOW_BYTES = 1024**3
"""A small quota gets twice as many, so that the free tier can unpack a source tree."""
_SEARCH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_COMMAND_LIMIT_S = 60.0


class Volume:
    """One tenant's.

    Args:
        image: the file.
        mount_point: where it is mounted.
    """

    def __init__(self, image: Path, mount_point: Path) -> None:
        self._image = image
        self.mount_point = mount_point

    @property
    def mounted(self) -> bool:
        """Whether it is there to be used."""
        return os.path.ismount(self.mount_point)

    def mount(self, quota_bytes: int) -> None:
        """Make it and mount it.

        1. A new file is made. A crash after this leaves a file; step 1 replaces it.
        2. It is mounted. A crash after this leaves a mounted volume; the reaper finds it empty and unmounts it.

        Raises:
            WorkspaceError: the system refused.
        """
        inode_bytes = BYTES_PER_INODE // (2 if quota_bytes < MANY_INODES_BELOW_BYTES else 1)
        try:
            self._image.unlink(missing_ok=True)
            fd = os.open(self._image, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.truncate(quota_bytes)
            self.mount_point.mkdir(mode=0o711, exist_ok=True)
        except OSError as exc:
            raise WorkspaceError(f"no room for a workspace at {self._image}: {exc}") from exc
        # No journal: a volume that was not unmounted is thrown away. No reserve: root's writes count like others'.
        run_tool(
            *("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(inode_bytes)),
            *("-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"),
            str(self._image),
        )
        options = "loop,nosuid,nodev,noatime,errors=remount-ro"
        run_tool("mount", "-t", "ext4", "-o", options, str(self._image), str(self.mount_point))
        self.mount_point.chmod(0o711)
        with suppress(OSError):
            (self.mount_point / "lost+found").rmdir()

    def unmount(self) -> None:
        """Unmount it and throw it away, with everything in it.

        Raises:
            WorkspaceError: the system refused.
        """
        if self.mounted:
            try:
                run_tool("umount", str(self.mount_point))
            except WorkspaceError:  # a process of a trusted agent may still stand in it
                run_tool("umount", "--lazy", str(self.mount_point))
        self._image.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self.mount_point.rmdir()


def run_tool(*argv: str) -> None:
    """Run a program of the system to its end.

    Raises:
        WorkspaceError: it is missing, or failed; with what it said.
    """
    try:
        done = subprocess.run(
            argv,
            env=_SEARCH,
            close_fds=False,  # the tenant's lock is to be held until the tool has ended, whatever becomes of us
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_LIMIT_S,
            check=False,
        )
    except FileNotFoundError as exc:
        raise WorkspaceError(f"{argv[0]} is not installed; apt-get install e2fsprogs mount") from exc
    except subprocess.TimeoutExpired as exc:
        raise WorkspaceError(f"{' '.join(argv)} did not end within {_COMMAND_LIMIT_S:g} s") from exc
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()[-300:]
        raise WorkspaceError(f"{' '.join(argv)} failed (status {done.returncode}): {said}")
