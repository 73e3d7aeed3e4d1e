"""Writing files of runs into a folder of the caller: below it, through no link, over nothing unless asked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from penstock.errors import InvalidInput
from penstock.kept import leads_out


def check_targets(folder: Path, paths: Iterable[str], *, overwrite: bool) -> None:
    """Refuse paths that cannot be saved, before any of them is.

    Raises:
        InvalidInput: one leads out of the folder, or is there already and `overwrite` is not set.
    """
    for path in paths:
        _parts(path)
        if not overwrite and os.path.lexists(folder / path):
            raise InvalidInput(f"{folder / path} is there already, and nothing was written; --force replaces it")


def save(folder: Path, path: str, data: bytes, *, overwrite: bool) -> None:
    """Write one file below `folder`, with the folders on its way.

    Raises:
        InvalidInput: it leads out, also by a symbolic link below the folder; or it is there already, or no file.
    """
    *above, name = _parts(path)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _opened(folder, above) as parent:
            temporary = f".{os.getpid()}.penstock.part"
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=parent)
            try:
                with open(fd, "wb") as file:
                    file.write(data)
                if overwrite:
                    os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
                else:  # a link to what is there already fails, whoever was quicker
                    os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
    except FileExistsError as exc:
        raise InvalidInput(f"{folder / path} is there already; --force replaces it") from exc
    except OSError as exc:
        raise InvalidInput(f"{folder / path} cannot be written: {exc.strerror}") from exc


@contextmanager
def _opened(folder: Path, above: list[str]) -> Iterator[int]:
    """The folder at `above` below `folder`, made where it is missing; the caller's folder itself may be a link."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in above:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=fd)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _parts(path: str) -> list[str]:
    parts = list(PurePosixPath(path).parts)
    if leads_out(path) or not parts:
        raise InvalidInput(f"{path[:100]!r} leads out of the folder, so it is not saved")
    return parts
