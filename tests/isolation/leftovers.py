"""What runs and killed workers leave on the host."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock_services.sandbox.cgroups import find_hierarchy
from penstock_services.sandbox.owners import Owner
from penstock_services.workspaces import Workspaces, reap
from tests.isolation.short_worker import FIRST_UID, UIDS
from tests.isolation.waiting import until

RUNS_EACH = 10
"""Commands of a worker that is not killed."""
SLOTS = range(FIRST_UID, FIRST_UID + UIDS)
MOMENTS = (b"making\n", b"running\n")
"""After one of these words a worker is killed."""


def look(folder: str, workers: Collection[int], uids: Collection[int]) -> Counter[str]:
    """What is there of these workers and slots, with files in the folder; by kind, also where it is 0."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    owners = [Owner.parse(group.name) for group in find_hierarchy().groups()]
    workspaces = Path(folder, "workspaces").glob("*/*")
    return Counter(
        {
            "left: processes": len(_processes(uids)),
            "left: mounts": sum(mount.startswith(folder) for mount in mounts),
            "left: loop devices": sum(backing.startswith(folder) for backing in _backing_files()),
            "left: control groups": sum(owner is not None and owner.pid in workers for owner in owners),
            "left: workspaces": sum(not path.parent.name.startswith(".") for path in workspaces),
            "left: images": len(list(Path(folder, "workspaces", ".volumes").glob("*"))),
        }
    )


def kill_workers(runs: int, killed: int, seed: int = 7, *, reaping: bool = True) -> Counter[str]:
    """Workers run commands in workspaces of their own; some are killed, and what each left is reaped.

    Args:
        runs: commands over all workers.
        killed: workers that are killed, each while it makes its workspace or within its one command.
        seed: of the moments.
        reaping: else what they left is counted before it is removed.
    """
    chance = random.Random(seed)
    counts = Counter({"runs": 0, "killed workers": 0, "reaped groups": 0, "reaped workspaces": 0})
    workers: set[int] = set()
    with tempfile.TemporaryDirectory(prefix="penstock-isolation-") as folder, _unmounted_at_last(folder):
        Path(folder).chmod(0o755)
        workspaces = Workspaces(Path(folder, "workspaces"))
        while counts["runs"] < runs or counts["killed workers"] < killed:
            dies = counts["killed workers"] < killed
            with _worker(folder, 0 if dies else RUNS_EACH) as worker:
                workers.add(worker.pid)
                if dies:
                    _kill(worker, chance.choice(MOMENTS) if reaping else MOMENTS[-1], chance.random() * 0.05)
                    counts["killed workers"] += 1
            assert worker.returncode == (-signal.SIGKILL if dies else 0)
            counts["runs"] += 1 if dies else RUNS_EACH
            if dies and reaping:
                found = reap(find_hierarchy(), workspaces)
                counts["reaped groups"] += found.groups
                counts["reaped workspaces"] += found.workspaces
        if reaping:
            until(lambda: not _processes(SLOTS), "no process of a killed worker is left")
            reap(find_hierarchy(), workspaces)  # as the next worker does at its start
        counts.update(look(folder, workers, SLOTS))
        reap(find_hierarchy(), workspaces)
    return counts


@contextmanager
def _worker(folder: str, runs: int) -> Iterator[subprocess.Popen[bytes]]:
    line = [sys.executable, "-m", "tests.isolation.short_worker", folder, str(runs)]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as worker:
        yield worker
        worker.communicate()


def _kill(worker: subprocess.Popen[bytes], after: bytes, later_s: float) -> None:
    assert worker.stdout is not None
    while (said := worker.stdout.readline()) != after:
        assert said, "the worker ended by itself"
    time.sleep(later_s)  # into whatever it does then: that is the point
    worker.kill()


@contextmanager
def _unmounted_at_last(folder: str) -> Iterator[None]:
    """A test that finds a mount left over does not leave it on the machine."""
    try:
        yield
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if (point := line.split()[1]).startswith(folder):
                subprocess.run(["umount", "--lazy", point], check=True)


def _processes(uids: Collection[int]) -> list[str]:
    """Living processes of these users."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid in uids and Path(entry.path, "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def _backing_files() -> list[str]:
    """Of all loop devices; a file that was deleted is still named."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.append(backing.read_text())
        except OSError:  # let go of meanwhile
            continue
    return found
