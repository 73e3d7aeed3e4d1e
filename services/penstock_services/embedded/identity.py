"""Naming a process so that a later one with the same pid is never taken for it. Linux only, as is the stack."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_STATE, _SESSION, _START_TICKS = 0, 3, 19
"""Positions in /proc/PID/stat after the command name, which may itself hold spaces and brackets (proc(5))."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid and when it started, in clock ticks since boot."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The process that has `pid` now, or None."""
        stat = _stat(pid)
        return None if stat is None else cls(pid, int(stat[_START_TICKS]))

    def is_alive(self) -> bool:
        """Whether this very process runs; a zombie no longer does."""
        stat = _stat(self.pid)
        return stat is not None and int(stat[_START_TICKS]) == self.start_ticks and stat[_STATE] not in "ZX"

    def session_members(self) -> list[int]:
        """Pids of the session this process leads or led, itself included.

        The kernel gives no process the pid of a session that still has members. So members without their leader
        are ours, and a leader with another start time means that our session is gone.
        """
        leader = ProcessIdentity.of(self.pid)
        if leader is not None and leader != self:
            return []
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        stats = {pid: _stat(pid) for pid in pids}
        return [
            pid
            for pid, stat in stats.items()
            if stat is not None and int(stat[_SESSION]) == self.pid and stat[_STATE] not in "ZX"
        ]

    def kill_session(self) -> list[int]:
        """SIGKILL everything in the session; gives the pids that were signalled."""
        members = self.session_members()
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return members


def boot_id() -> str:
    """Changes with every boot of the machine; start ticks only compare within one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()
