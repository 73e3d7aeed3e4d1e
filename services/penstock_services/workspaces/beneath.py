"""Files below a folder that somebody else fills: opened by `openat2`, which resolves no symbolic link and leaves
no folder, whatever is swapped while it looks."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from penstock.errors import WorkspaceRefused

_OPENAT2 = 437
"""On every architecture."""
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
_REFUSED = (errno.EXDEV, errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG)
MAX_DEPTH = 64
"""Deeper folders are not looked into."""

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Found(NamedTuple):
    """A regular file below a folder."""

    path: str
    """Relative, with slashes."""
    size_bytes: int


@contextmanager
def folder_fd(folder: Path) -> Iterator[int]:
    """`folder` as a file descriptor; itself no symbolic link."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def open_beneath(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` below the folder.

    Raises:
        WorkspaceRefused: it leads out of the folder or through a symbolic link, or is no regular file or folder.
        FileNotFoundError: there is none.
    """
    if "\0" in path:
        raise WorkspaceRefused(f"{path[:60]!r} has a NUL in it")
    # Non-blocking: a FIFO would otherwise keep the opener for ever.
    how = _OpenHow(flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK, mode, _RESOLVE)
    fd = _libc.syscall(_OPENAT2, root_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if fd < 0:
        number = ctypes.get_errno()
        if number in _REFUSED:
            raise WorkspaceRefused(
                f"{path[:100]!r} leads out of the workspace or through a symbolic link ({os.strerror(number)})"
            )
        raise OSError(number, os.strerror(number), path)
    kind = os.fstat(fd).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        os.close(fd)
        raise WorkspaceRefused(f"{path[:100]!r} is neither a file nor a folder")
    return int(fd)


def read_beneath(folder: Path, path: str, limit_bytes: int) -> bytes:
    """The first `limit_bytes` of a file.

    Raises:
        WorkspaceRefused, FileNotFoundError: as `open_beneath`.
    """
    with folder_fd(folder) as root_fd:
        fd = open_beneath(root_fd, path, os.O_RDONLY)
        with open(fd, "rb") as file:
            return file.read(limit_bytes)


def write_beneath(folder: Path, path: str, data: bytes) -> None:
    """Write a file, and the folders on the way, as the owner of `folder`.

    Raises:
        WorkspaceRefused: as `open_beneath`.
        OSError: the disk or the quota is full.
    """
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or len(parts) > MAX_DEPTH:
        raise WorkspaceRefused(f"{path[:100]!r} is not a path below the workspace")
    with folder_fd(folder) as root_fd:
        owner = os.fstat(root_fd)
        parent_fd = os.dup(root_fd)
        try:
            for part in parts[:-1]:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=parent_fd)
                    os.chown(part, owner.st_uid, owner.st_gid, dir_fd=parent_fd, follow_symlinks=False)
                child_fd = open_beneath(parent_fd, part, os.O_RDONLY | os.O_DIRECTORY)
                os.close(parent_fd)
                parent_fd = child_fd
            fd = open_beneath(parent_fd, parts[-1], os.O_WRONLY | os.O_CREAT, 0o644)
            with open(fd, "wb") as file:
                if os.fstat(fd).st_nlink > 1:
                    raise WorkspaceRefused(f"{path[:100]!r} is a hard link")
                os.fchown(fd, owner.st_uid, owner.st_gid)
                file.truncate(0)
                file.write(data)
        finally:
            os.close(parent_fd)


def files_beneath(folder: Path, limit: int = sys.maxsize) -> Iterator[Found]:
    """Up to `limit` regular files of one name each below `folder`, in order of their paths, hidden ones apart."""
    with folder_fd(folder) as root_fd:
        yield from islice(_walk(root_fd, "", 0), limit)


def _walk(root_fd: int, below: str, depth: int) -> Iterator[Found]:
    try:
        fd = open_beneath(root_fd, below or ".", os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, WorkspaceRefused):  # swapped or removed while we looked
        return
    try:
        with os.scandir(fd) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        for name in names:
            path = f"{below}/{name}" if below else name
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                yield Found(path, found.st_size)
            elif stat.S_ISDIR(found.st_mode) and depth < MAX_DEPTH:
                yield from _walk(root_fd, path, depth + 1)
    finally:
        os.close(fd)
