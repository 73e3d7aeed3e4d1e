"""What counts as an escape, looked at from outside the sandbox. Each answers what escaped, or None."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.isolation.programs import ESCAPED
from tests.isolation.waiting import until

if TYPE_CHECKING:
    from penstock_services.sandbox import Outcome
    from tests.isolation.scene import Scene

BWRAPS = 2
"""bwrap's own processes with the slot's uid: the one outside and its init inside."""


def said_so(scene: Scene, outcome: Outcome) -> str | None:
    """The program's own word, for what only it can see: an answer of the kernel."""
    for line in outcome.output.decode(errors="replace").splitlines():
        if line.startswith(ESCAPED):
            return line.removeprefix(ESCAPED).strip()
    return None


def secret_read(scene: Scene, outcome: Outcome) -> str | None:
    """The secret planted outside is in the output."""
    return "the planted secret" if scene.secret.encode() in outcome.output else None


def canary_touched(scene: Scene, outcome: Outcome) -> str | None:
    """The file outside is not what it was: content, name, mode, links, or a new neighbour."""
    names = sorted(path.name for path in scene.outside.iterdir())
    if names != scene.planted:
        return f"outside now holds {names}"
    if (now := scene.state_of_canary()) != scene.canary_state:
        return f"the file outside is now {now}"
    return None


def victim_hurt(scene: Scene, outcome: Outcome) -> str | None:
    """The process outside was killed, stopped, or given another priority or limit."""
    if (now := scene.victim_state()) != scene.victim_before:
        return f"the process outside is now {now}, was {scene.victim_before}"
    return None


def heard(scene: Scene, outcome: Outcome) -> str | None:
    """A server outside was reached."""
    return next((f"{name} got {what!r}" for name, what in scene.drain().items() if what), None)


def alive(scene: Scene, outcome: Outcome) -> str | None:
    """Processes of the attack outlive the run."""
    left = [pid for _ in range(5) for pid in scene.processes()]  # one that keeps forking is missed now and then
    return "processes outlived the run" if left else None


def too_many_at_once(scene: Scene, outcome: Outcome) -> str | None:
    """More threads and processes at once than the tier allows."""
    limit = scene.processes_allowed + BWRAPS
    return f"{scene.peak_tasks} at once, {limit} allowed" if scene.peak_tasks > limit else None


def too_much_memory(scene: Scene, outcome: Outcome) -> str | None:
    """The kernel counted more than the tier allows, or the program says that it got more."""
    peak = outcome.receipt.peak_memory_bytes
    if peak > scene.memory_allowed:
        return f"{peak:,} bytes, {scene.memory_allowed:,} allowed"
    return said_so(scene, outcome)


def over_quota(scene: Scene, outcome: Outcome) -> str | None:
    """The workspace takes more of the host's disk than its quota."""
    used = scene.used_bytes()
    return f"{used:,} bytes, {scene.quota:,} allowed" if used > scene.quota else None


def tenant_over_quota(scene: Scene, outcome: Outcome) -> str | None:
    """Two workspaces of one tenant together take more than the tenant's quota."""
    used = scene.used_bytes() + scene.used_bytes(scene.sibling)
    return f"{used:,} bytes, {scene.quota:,} allowed" if used > scene.quota else None


def too_many_files(scene: Scene, outcome: Outcome) -> str | None:
    """More files than the sized file system has room for (one inode per 4 KiB at most)."""
    files = scene.used_files()
    return f"{files} files" if files > scene.quota // 4096 else None


def long_output(scene: Scene, outcome: Outcome) -> str | None:
    """The worker holds more of the output than was asked for."""
    size = len(outcome.output)
    return f"{size:,} bytes of output" if size > scene.output_allowed else None


def neighbour_touched(scene: Scene, outcome: Outcome) -> str | None:
    """The other tenant's folder is not what it was."""
    now = scene.neighbours_state()
    return f"the neighbour's folder is now {now}" if now != scene.neighbour_before else None


def neighbour_killed(scene: Scene, outcome: Outcome) -> str | None:
    """The other tenant's program ended though nobody told it to."""
    with suppress(AssertionError):
        until(lambda: not scene.neighbours_processes(), "the neighbour is gone", within_s=0.3)
        return "the neighbour's program is gone"
    return None


def left_in_workspace(
    name: str, is_kind: Callable[[int], bool] = stat.S_ISREG
) -> Callable[[Scene, Outcome], str | None]:
    """Something of that kind lies in the workspace."""

    def evidence(scene: Scene, outcome: Outcome) -> str | None:
        path = scene.workspace / name
        found = os.path.lexists(path) and is_kind(path.lstat().st_mode)
        return f"{name} is in the workspace" if found else None

    return evidence


def either(*kinds: Callable[[Scene, Outcome], str | None]) -> Callable[[Scene, Outcome], str | None]:
    """The first that finds something."""

    def evidence(scene: Scene, outcome: Outcome) -> str | None:
        return next((found for kind in kinds if (found := kind(scene, outcome))), None)

    return evidence
