"""Each process's own log file: size-bounded at every start, and the end of it for error messages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

ROTATE_ABOVE_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 16 * 1024


def open_log(path: Path) -> BinaryIO:
    """Open for appending; above 8 MiB what was there moves to `<name>.log.1`, replacing the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > ROTATE_ABOVE_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    log = path.open("ab", buffering=0)
    log.write(f"--- started {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode())
    return log


def tail_of(path: Path, *, lines: int = 15, since_byte: int = 0) -> str:
    """The last `lines` lines written after `since_byte`, indented, for an error message."""
    if not path.exists():
        return "  (no log)"
    with path.open("rb") as log:
        log.seek(0, 2)
        log.seek(max(since_byte, log.tell() - _TAIL_BYTES))
        text = log.read().decode(errors="replace")
    last = text.splitlines()[-lines:]
    return "\n".join(f"  {line[:400]}" for line in last) or "  (it wrote nothing)"
