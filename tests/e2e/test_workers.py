"""Two workers on the whole stack: what a full one cannot take, the other one runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e


def test_what_a_full_worker_leaves_is_run_by_another(stack: Stack):
    """With every slot of the stack's worker busy for ten minutes, only the hints' repeats reach the second one."""
    limits = ("--tier", "free", "--concurrency", "20")
    assert stack.penstock("tenants", "set", "crowd", *limits).returncode == 0
    waits = [submitted(stack, "waits", "600") for _ in range(4)]
    eventually(lambda: len(stack.json("list", "--tenant", "crowd", "--status", "running")) == 4)
    second = subprocess.Popen(
        [sys.executable, "-m", "penstock", "worker", "--concurrency", "2"],
        env=stack.env,
        cwd=stack.home.parent,
        stderr=subprocess.DEVNULL,
    )
    try:
        quick = {submitted(stack, "echo", f"{n}") for n in range(8)}
        eventually(lambda: completed(stack) >= quick)
    finally:
        second.terminate()
        second.wait(60)
        for execution_id in waits:
            stack.penstock("cancel", execution_id)


def submitted(stack: Stack, agent: str, text: str) -> str:
    done = stack.penstock("run", agent, "--input", text, "--tenant", "crowd")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def completed(stack: Stack) -> set[str]:
    return {row["execution_id"] for row in stack.json("list", "--tenant", "crowd", "--status", "completed")}
