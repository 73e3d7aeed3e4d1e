"""Where control groups are on this host, for what holds the memory and processes of a run, and kills them.

Version 2 where memory and pids are there, else version 1; a host with both (hybrid) limits by version 1 and kills
by version 2. Groups are below `penstock/` at the root the process sees, named after the process that made them, so
that a reaper can tell whose owner is gone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from penstock.errors import SandboxFailed, SandboxUnavailable
from penstock_services.sandbox.groups import FOLDER, Group
from penstock_services.sandbox.owners import Owner

V1_CONTROLLERS = ("memory", "pids", "cpuacct", "freezer")
V2_CONTROLLERS = ("memory", "pids", "cpu")
_numbers = itertools.count(1)


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


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
