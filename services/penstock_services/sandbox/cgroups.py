"""One control group a run: what holds its memory and its processes, and what kills all of them.

Version 2 where memory and pids are there, else version 1; a host with both (hybrid) limits by version 1 and kills
by version 2. Groups are below `penstock/` at the root the process sees, named after the process that made them, so
that a reaper can tell whose owner is gone.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from penstock.errors import SandboxFailed, SandboxUnavailable
from penstock_services.sandbox.owners import Owner

FOLDER = "penstock"
V1_CONTROLLERS = ("memory", "pids", "cpuacct", "freezer")
V2_CONTROLLERS = ("memory", "pids", "cpu")
REMOVAL_LIMIT_S = 5.0
"""A killed process is gone within this, also where it has a gigabyte to give back."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the kernel counted of one run."""

    cpu_s: float
    peak_memory_bytes: int
    out_of_memory_kills: int
    refused_processes: int


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where control groups are on this host.

    Args:
        v1: mount point by controller; empty where version 2 limits.
        v2: mount point of version 2; None where there is none.
    """

    v1: Mapping[str, Path] = field(default_factory=dict)
    v2: Path | None = None

    @property
    def version(self) -> int:
        """Which version limits."""
        return 1 if self.v1 else 2

    @property
    def folders(self) -> list[Path]:
        """The folder of ours in every hierarchy, once each."""
        roots = {*self.v1.values(), *([self.v2] if self.v2 else [])}
        return [root / FOLDER for root in sorted(roots)]

    def group(self, owner: Owner, *, memory_bytes: int, processes: int) -> Group:
        """A new group with these limits and nothing in it.

        Raises:
            SandboxFailed: the kernel refused one of them.
        """
        name = f"{owner.name}.{next(_numbers)}"
        group = Group(self, name)
        try:
            for folder in group.folders:
                folder.mkdir(parents=True)
            group.limit(memory_bytes, processes)
        except OSError as exc:
            group.remove()
            raise SandboxFailed(f"a control group for a command cannot be made: {exc}") from exc
        return group

    def groups(self) -> Iterator[Group]:
        """Every group of ours on this host, whoever made it."""
        names = {entry.name for folder in self.folders if folder.is_dir() for entry in folder.iterdir()}
        for name in sorted(names):
            if all((folder / name).is_dir() or not (folder / name).exists() for folder in self.folders):
                yield Group(self, name)

    def prepare(self) -> None:
        """Make our folder everywhere, with the controllers it needs.

        Raises:
            SandboxUnavailable: this process may not.
        """
        try:
            for folder in self.folders:
                folder.mkdir(exist_ok=True)
            if self.version == 2 and self.v2 is not None:
                wanted = " ".join(f"+{name}" for name in V2_CONTROLLERS)
                for parent in (self.v2, self.v2 / FOLDER):
                    _enable(parent, wanted)
        except OSError as exc:
            raise SandboxUnavailable(
                f"no control group can be made ({exc}): the worker needs root, or a writable /sys/fs/cgroup "
                "(docker run --privileged or --cgroupns=private with a writable mount)"
            ) from exc


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


@cache
def prepared_hierarchy() -> Hierarchy:
    """This host's control groups, ready for groups of ours.

    Raises:
        SandboxUnavailable: as `find_hierarchy` and `Hierarchy.prepare`.
    """
    hierarchy = find_hierarchy()
    hierarchy.prepare()
    return hierarchy


def find_hierarchy(mounts: str | None = None) -> Hierarchy:
    """The control groups of this host, from `/proc/self/mounts`.

    Raises:
        SandboxUnavailable: neither version has what is needed.
    """
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for line in (mounts or Path("/proc/self/mounts").read_text()).splitlines():
        _, point, kind, options = line.split()[:4]
        if kind == "cgroup2":
            v2 = Path(point)
        elif kind == "cgroup":
            v1.update({name: Path(point) for name in options.split(",") if name in V1_CONTROLLERS})
    if v2 is not None and {"memory", "pids"} <= set(_words(v2 / "cgroup.controllers")):
        return Hierarchy(v2=v2)
    missing = [name for name in V1_CONTROLLERS if name not in v1]
    if missing:
        raise SandboxUnavailable(
            f"no control groups for {', '.join(missing)} are mounted: neither version 2 with memory and pids nor "
            "version 1; boot with them, or mount /sys/fs/cgroup into the container"
        )
    return Hierarchy(v1, v2)


def _enable(parent: Path, wanted: str) -> None:
    """Version 2: let `parent`'s children have controllers. Where processes of ours are in the root of a container,
    which the kernel then refuses, they move to a group of their own first."""
    control = parent / "cgroup.subtree_control"
    try:
        control.write_text(wanted)
    except OSError:
        inside = parent / f"{FOLDER}.outside"
        inside.mkdir(exist_ok=True)
        for pid in _words(parent / "cgroup.procs"):
            with suppress(OSError):
                (inside / "cgroup.procs").write_text(pid)
        control.write_text(wanted)


def _keyed(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
