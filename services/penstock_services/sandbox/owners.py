"""Who made something that outlives a crash: a process, told from a later one of the same number."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_STARTED_FIELD = 19
"""Of `/proc/<pid>/stat`, counted after the command's closing parenthesis: clock ticks since boot."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process of this machine's boot."""

    pid_namespace: int
    """A process in another container has its own numbers and is not ours to judge."""
    pid: int
    started_ticks: int

    @property
    def name(self) -> str:
        """As part of a file's name; `parse` reads it."""
        return f"{self.pid_namespace}.{self.pid}.{self.started_ticks}"

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """The owner that `name` begins with; None where it is not one of ours."""
        parts = name.split(".")
        if len(parts) < 3 or not all(part.isdigit() for part in parts[:3]):
            return None
        return cls(*map(int, parts[:3]))

    @property
    def gone(self) -> bool:
        """Whether the process has ended; False for one that cannot be seen from here."""
        return self.pid_namespace == _pid_namespace() and _started_ticks(self.pid) != self.started_ticks


def this_process() -> Owner:
    """The owner of what is made now."""
    pid = os.getpid()
    return Owner(_pid_namespace(), pid, _started_ticks(pid) or 0)


@cache
def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _started_ticks(pid: int) -> int | None:
    """When a process started; None where there is none, or only its unreaped rest."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[_STARTED_FIELD])
