"""The data folder: made by us, whole, and owned by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from penstock.errors import AlreadyRunning, DataFolderDamaged

MARKER = "penstock-clickhouse.json"
FORMAT = 1
"""Of this folder's layout; the engine keeps its own versions inside."""


def prepare_folder(path: Path) -> None:
    """Make `path` a data folder, or check that it is one of ours and free.

    The marker is written before the engine's first file, so a folder with files and without a marker is not ours.

    Raises:
        AlreadyRunning: another process has the engine open there.
        DataFolderDamaged: not our folder, half-written, or of another layout.
    """
    if path.exists() and not path.is_dir():
        raise DataFolderDamaged(f"{path} is not a folder; give --path an empty or a new one")
    try:
        path.mkdir(parents=True, exist_ok=True)
        marker = path / MARKER
        if not marker.exists():
            if strangers := sorted(p.name for p in path.iterdir() if p.name != f"{MARKER}.new"):
                raise DataFolderDamaged(
                    f"{path} holds {strangers[0]!r} but no {MARKER}: it is no ClickHouse folder of Penstock's; "
                    "give --path an empty or a new one"
                )
            _write_whole(marker, json.dumps({"engine": "chdb", "format": FORMAT}) + "\n")
        content = json.loads(marker.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as exc:
        raise DataFolderDamaged(
            f"{path / MARKER} is not readable ({exc}); restore the folder or remove it"
        ) from exc
    except OSError as exc:
        raise DataFolderDamaged(f"data folder {path} cannot be used: {exc.strerror}") from exc
    if content != {"engine": "chdb", "format": FORMAT}:
        raise DataFolderDamaged(f"{path} has layout {content}; this version reads format {FORMAT} of chdb")
    if is_open_elsewhere(path):
        raise AlreadyRunning(
            f"another process has the ClickHouse folder {path} open; stop it or give another --path"
        )


def is_open_elsewhere(path: Path) -> bool:
    """Whether some process holds the engine's own lock on `path` (its `status` file)."""
    try:
        descriptor = os.open(path / "status", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _write_whole(path: Path, text: str) -> None:
    """Write by rename, so that a crash leaves the old state or the new one."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
