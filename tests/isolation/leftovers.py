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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from penstock_services.sandbox.cgroups import find_hierarchy
from penstock_services.sandbox.owners import Owner
from penstock_services.sandbox.users import USERS
from penstock_services.workspaces import Workspaces, reap
from tests.fixtures.outside import Outside, inside
from tests.isolation.short_worker import FIRST_UID, UIDS
from tests.isolation.waiting import until

RUNS_EACH = 10
"""Commands of a worker that is not killed."""
SLOTS = range(FIRST_UID, FIRST_UID + UIDS)
NETWORKS = range(SLOTS.start + USERS, SLOTS.stop + USERS)
"""Users of the slots' networks: pasta and what holds its namespace."""
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


def kill_networked_worker(outside: Outside, *, reaping: bool = True) -> Counter[str]:
    """A worker is killed within a command that has a network, while pasta and its holder are stopped: they cannot
    see that the worker's pipe has ended, so that only a reaper ends them.

    Args:
        outside: the worker is on its host.
        reaping: else what it left is counted before it is removed.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-isolation-"))
        stack.enter_context(_unmounted_at_last(folder))
        Path(folder).chmod(0o755)
        worker = inside(outside.host, lambda: stack.enter_context(_worker(folder, 0, "network")))
        _until_said(worker, MOMENTS[-1])
        namespaces = _stop_networks() - {inside(outside.host, lambda: os.readlink("/proc/thread-self/ns/net"))}
        assert namespaces, "the worker's command has no network"
        worker.kill()
        worker.wait()
        workspaces = Workspaces(Path(folder, "workspaces"))
        if reaping:
            reap(find_hierarchy(), workspaces)  # as the next worker does at its start
        counts = look(folder, {worker.pid}, [*SLOTS, *NETWORKS])
        counts.update(_tables(namespaces))
        reap(find_hierarchy(), workspaces)
    return counts


def _stop_networks() -> set[str]:
    """Stop what runs as the users of the slots' networks; the network namespaces it is in."""
    found = set()
    for pid in _processes(NETWORKS):
        os.kill(int(pid), signal.SIGSTOP)
        found.add(os.readlink(f"/proc/{pid}/ns/net"))
    return found


def _tables(namespaces: Collection[str]) -> Counter[str]:
    """How many of these network namespaces any process is in, and the tables of rules in them."""
    holders: dict[str, str] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                holders.setdefault(os.readlink(f"{entry.path}/ns/net"), f"{entry.path}/ns/net")
    left = [holders[namespace] for namespace in namespaces if namespace in holders]
    counts = Counter({"left: network namespaces": len(left), "left: tables of rules": 0})
    for path in left:
        line = ["nsenter", f"--net={path}", "nft", "list", "tables"]
        listed = subprocess.run(line, check=True, capture_output=True).stdout
        counts["left: tables of rules"] += len(listed.splitlines())
    return counts


@contextmanager
def _worker(folder: str, runs: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    line = [sys.executable, "-m", "tests.isolation.short_worker", folder, str(runs), *more]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as worker:
        yield worker
        worker.communicate()


def _kill(worker: subprocess.Popen[bytes], after: bytes, later_s: float) -> None:
    _until_said(worker, after)
    time.sleep(later_s)  # into whatever it does then: that is the point
    worker.kill()


def _until_said(worker: subprocess.Popen[bytes], word: bytes) -> None:
    assert worker.stdout is not None
    while (said := worker.stdout.readline()) != word:
        assert said, "the worker ended by itself"


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
