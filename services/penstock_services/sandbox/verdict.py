"""From what was seen of a run to why it ended. Pure."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.agents.commands import Reason
from penstock.errors import SandboxFailed
from penstock_services.sandbox.groups import Counts
from penstock_services.sandbox.policies import Policy

NOT_EXECUTED = b"bwrap: execvp "
NOT_FOUND_STATUS = 127
SIGNAL_BASE = 128
"""bubblewrap's init reports a command that a signal ended as shells do."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one run."""

    timed_out: bool
    disk_full: bool
    counts: Counts
    status: bytes
    """bubblewrap's reports, JSON lines."""
    wait_status: int
    """Of bubblewrap itself: an exit status, or a signal's number below 0."""
    output: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """Why and how a command ended."""

    reason: Reason
    exit_code: int | None
    signal: int | None


def ending(policy: Policy, argv: Sequence[str], seen: Seen) -> Ending:
    """Judge one run.

    Raises:
        SandboxFailed: the command was never started.
    """
    code = _exit_code(seen.status)
    by_limit = _limit(seen, code)
    if code is None and by_limit is None and seen.wait_status != -signal.SIGKILL:
        if not seen.output.startswith(NOT_EXECUTED):
            said = seen.output.decode(errors="replace").strip()[-500:]
            raise SandboxFailed(f"the sandbox could not be set up (status {seen.wait_status}): {said}")
        left_out = argv[0].rpartition("/")[2] in policy.left_out
        return Ending("policy_denied" if left_out else "completed", NOT_FOUND_STATUS, None)
    if code is None:
        return Ending(by_limit or "killed", None, int(signal.SIGKILL))
    if code <= SIGNAL_BASE:
        return Ending(by_limit or "completed", code, None)
    number = code - SIGNAL_BASE
    by_filter = number == signal.SIGSYS
    return Ending(by_limit or ("policy_denied" if by_filter else "killed"), None, number)


def _limit(seen: Seen, code: int | None) -> Reason | None:
    if seen.timed_out:
        return "timed_out"
    if seen.counts.out_of_memory_kills:
        return "out_of_memory"
    if seen.counts.refused_processes:
        return "too_many_processes"
    return "quota_exceeded" if seen.disk_full and code != 0 else None


def _exit_code(status: bytes) -> int | None:
    for line in status.splitlines():
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict) and isinstance(report.get("exit-code"), int):
            return int(report["exit-code"])
    return None
