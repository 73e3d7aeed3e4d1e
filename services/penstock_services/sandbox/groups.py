"""One control group a run: its limits, its counts, and the end of everything in it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock_services.sandbox.cgroups import Hierarchy

FOLDER = "penstock"
"""Below it, at the root of every hierarchy, are the groups of all workers of a host."""
REMOVAL_LIMIT_S = 5.0
"""A killed process is gone within this, also where it has a gigabyte to give back."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the kernel counted of one run."""

    cpu_s: float
    peak_memory_bytes: int
    out_of_memory_kills: int
    refused_processes: int


class Group:
    """One control group, in every hierarchy that takes part."""

    def __init__(self, hierarchy: Hierarchy, name: str) -> None:
        self._hierarchy = hierarchy
        self.name = name
        self.folders = [folder / name for folder in hierarchy.folders]

    @property
    def entrances(self) -> list[str]:
        """Files into which a process writes 0 to enter."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Set the limits; memory is without swap."""
        if self._hierarchy.version == 1:
            memory = self._v1("memory")
            (memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
            for name in ("memory.memsw.limit_in_bytes", "memory.swappiness"):
                value = memory_bytes if "memsw" in name else 0
                if (memory / name).exists():
                    (memory / name).write_text(str(value))
            (self._v1("pids") / "pids.max").write_text(str(processes))
            return
        group = self._v2()
        (group / "memory.max").write_text(str(memory_bytes))
        if (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")
        (group / "pids.max").write_text(str(processes))

    def counts(self) -> Counts:
        """What the group used until now."""
        if self._hierarchy.version == 1:
            memory = self._v1("memory")
            return Counts(
                cpu_s=int((self._v1("cpuacct") / "cpuacct.usage").read_text()) / 1e9,
                peak_memory_bytes=int((memory / "memory.max_usage_in_bytes").read_text()),
                out_of_memory_kills=_keyed(memory / "memory.oom_control").get("oom_kill", 0),
                refused_processes=_keyed(self._v1("pids") / "pids.events").get("max", 0),
            )
        group = self._v2()
        peak = group / "memory.peak"
        return Counts(
            cpu_s=_keyed(group / "cpu.stat").get("usage_usec", 0) / 1e6,
            peak_memory_bytes=int((peak if peak.exists() else group / "memory.current").read_text()),
            out_of_memory_kills=_keyed(group / "memory.events").get("oom_kill", 0),
            refused_processes=_keyed(group / "pids.events").get("max", 0),
        )

    def processes(self) -> set[int]:
        """Everything in the group."""
        found: set[int] = set()
        for folder in self.folders:
            with suppress(OSError):
                found.update(map(int, (folder / "cgroup.procs").read_text().split()))
        return found - {0}

    def kill(self) -> None:
        """SIGKILL everything in the group; nothing in it can fork its way out."""
        with suppress(OSError):
            if self._hierarchy.v2 is not None and (self._v2() / "cgroup.kill").exists():
                (self._v2() / "cgroup.kill").write_text("1")
        if self._hierarchy.version == 1:
            self._kill_frozen()

    def remove(self) -> bool:
        """Kill what is in the group and remove it; whether it is gone, after `REMOVAL_LIMIT_S` at most."""
        deadline_s, pause_s = time.monotonic() + REMOVAL_LIMIT_S, 0.0005
        while self._still_there():
            self.kill()
            for folder in self.folders:
                with suppress(OSError):
                    folder.rmdir()
            if not self._still_there():
                break
            if time.monotonic() > deadline_s:
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)
        return True

    def empty(self) -> bool:
        """Wait until everything that was killed is gone, for `REMOVAL_LIMIT_S` at most; whether it is."""
        deadline_s, pause_s = time.monotonic() + REMOVAL_LIMIT_S, 0.0005
        while self.processes():
            if time.monotonic() > deadline_s:
                return False
            self.kill()
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)
        return True

    def _kill_frozen(self) -> None:
        """Version 1: freeze, so that none forks while the list is read; signal each; thaw, so that they die."""
        if not self.processes():
            return
        state = self._v1("freezer") / "freezer.state"
        with suppress(OSError):
            state.write_text("FROZEN")
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(OSError):
            state.write_text("THAWED")

    def _still_there(self) -> bool:
        return any(folder.exists() for folder in self.folders)

    def _v1(self, controller: str) -> Path:
        return self._hierarchy.v1[controller] / FOLDER / self.name

    def _v2(self) -> Path:
        assert self._hierarchy.v2 is not None
        return self._hierarchy.v2 / FOLDER / self.name


def _keyed(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
