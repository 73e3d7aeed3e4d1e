"""A small file system of its own for one process, to be filled up."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_BYTES = 4 * 1024 * 1024


class MountRefused(Exception):
    """This machine lets nobody, or not this user, mount a tmpfs."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs of `SIZE_BYTES` at `folder`, gone at the end even while somebody has files open in it.

    Raises:
        MountRefused: with what `mount` said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0700", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))
        folder.rmdir()


def why_no_disk(folder: Path) -> str | None:
    """Why `small_disk` is refused here; None where it works."""
    try:
        with small_disk(folder):
            return None
    except MountRefused as exc:
        return str(exc)


def fill(folder: Path) -> Path:
    """Write until nothing more fits; the file that takes the room."""
    path = folder / "full"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
    return path


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as exc:
        raise MountRefused(f"{command[0]}: {os.strerror(exc.errno or 0)}") from exc
    except subprocess.CalledProcessError as exc:
        raise MountRefused(f"{' '.join(command)}: {exc.output.strip()}") from exc
