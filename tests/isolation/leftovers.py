"""What runs leave on the host, and workers that are killed while they run commands."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock_services.sandbox.cgroups import find_hierarchy
from penstock_services.sandbox.owners import Owner
from penstock_services.workspaces import Workspaces, reap
from tests.isolation.place import FIRST_UID
from tests.isolation.waiting import until

LAST_UID = FIRST_UID + 4_000
RUNS_EACH = 10
"""Commands of a worker that is not killed."""


@dataclass(frozen=True)
class Found:
    """Names of what belongs to sandboxes of the corpus."""

    processes: frozenset[str]
    mounts: frozenset[str]
    groups: frozenset[str]
    folders: frozenset[str]
    loop_devices: frozenset[str]

    def __sub__(self, before: Found) -> Found:
        return Found(*(getattr(self, name) - getattr(before, name) for name in self.__dataclass_fields__))

    def counts(self) -> dict[str, int]:
        return {f"left: {name.replace('_', ' ')}": len(getattr(self, name)) for name in self.__dataclass_fields__}


def look() -> Found:
    """What is there now."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    owners = {group.name: Owner.parse(group.name) for group in find_hierarchy().groups()}
    groups = [name for name, owner in owners.items() if owner is None or owner.gone]  # others work here too
    return Found(
        processes=frozenset(_processes()),
        mounts=frozenset(line.split()[1] for line in mounts if "penstock-isolation-" in line),
        groups=frozenset(groups),
        folders=frozenset(path.name for path in Path(tempfile.gettempdir()).glob("penstock-isolation-*")),
        loop_devices=frozenset(_loop_devices()),
    )


def kill_workers(runs: int, killed: int, seed: int = 7, *, reaping: bool = True) -> Counter[str]:
    """Workers run commands in workspaces of their own; some are killed while a command runs, then the reaper runs.

    Args:
        runs: commands over all workers.
        killed: workers that are killed, each within one command.
        seed: of the moments.
        reaping: else what they left is counted before it is removed.
    """
    chance = random.Random(seed)
    counts = Counter({"runs": 0, "killed workers": 0, "reaped groups": 0, "reaped workspaces": 0})
    with tempfile.TemporaryDirectory(prefix="penstock-isolation-") as folder, _unmounted_at_last(folder):
        Path(folder).chmod(0o755)
        base = Path(folder, "workspaces")
        while counts["runs"] < runs or counts["killed workers"] < killed:
            dies = counts["killed workers"] < killed
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.isolation.short_worker", folder, "0" if dies else str(RUNS_EACH)],
                stdout=subprocess.PIPE,
            )
            assert worker.stdout is not None
            with worker.stdout:
                if dies:
                    moment = chance.choice([b"making\n", b"running\n"]) if reaping else b"running\n"
                    while worker.stdout.readline() != moment:
                        assert worker.poll() is None, "the worker ended by itself"
                    time.sleep(chance.random() * 0.05)  # into whatever it does then: that is the point
                    worker.send_signal(signal.SIGKILL)
                    counts["killed workers"] += 1
                counts["runs"] += 1 if dies else RUNS_EACH
                assert worker.wait() in (0, -signal.SIGKILL)
            if dies and reaping:
                found = reap(find_hierarchy(), Workspaces(base))
                counts["reaped groups"] += found.groups
                counts["reaped workspaces"] += found.workspaces
        until(lambda: not _processes(), "no process of a killed worker is left")
        if reaping:
            reap(find_hierarchy(), Workspaces(base))  # as the next worker does at its start
        counts["left: workspaces"] = sum(1 for path in base.glob("*/*") if not path.parent.name.startswith("."))
        counts["left: mounts of workspaces"] = sum(
            line.split()[1].startswith(folder) for line in Path("/proc/self/mounts").read_text().splitlines()
        )
        reap(find_hierarchy(), Workspaces(base))
    return counts


@contextmanager
def _unmounted_at_last(folder: str) -> Iterator[None]:
    """A test that finds a mount left over does not leave it on the machine."""
    try:
        yield
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if (point := line.split()[1]).startswith(folder):
                subprocess.run(["umount", "--lazy", point], check=True)


def _processes() -> list[str]:
    """Living processes of the corpus' users."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                ours = FIRST_UID <= entry.stat().st_uid < LAST_UID
                if ours and Path(entry.path, "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def _loop_devices() -> list[str]:
    """Loop devices whose file is one of ours, deleted or not."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if "penstock-isolation-" in backing.read_text():
                found.append(backing.parts[3])
        except OSError:
            continue
    return found
