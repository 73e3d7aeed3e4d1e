"""Cancelling on the whole stack: while it runs, while it waits, and when there is nothing left to cancel."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e


def started(stack: Stack, tenant: str) -> str:
    """A run of ten minutes; its id."""
    done = stack.penstock("run", "waits", "--input", "600", "--tenant", tenant)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status_of(stack: Stack, execution_id: str) -> str | None:
    shown = stack.penstock("get", execution_id, "--json")
    return str(json.loads(shown.stdout)["status"]) if shown.returncode == 0 else None


def test_a_running_one_ends_and_everyone_sees_why(stack: Stack):
    execution_id = started(stack, "canceller")
    eventually(lambda: status_of(stack, execution_id) == "running")
    ended = stack.json("cancel", execution_id, "--reason", "no longer needed")
    assert (ended["status"], ended["reason"]) == ("cancelled", "no longer needed")
    watched = stack.penstock("watch", execution_id)
    assert watched.returncode == 1
    assert "no longer needed" in watched.stdout + watched.stderr
    (row,) = eventually(lambda: stack.json("list", "--tenant", "canceller", "--status", "cancelled"))
    assert row["execution_id"] == execution_id
    again = stack.penstock("cancel", execution_id)
    assert again.returncode == 1
    assert "cancelled" in again.stderr


def test_a_queued_one_ends_without_ever_running_and_the_one_behind_it_moves_up(stack: Stack):
    assert stack.penstock("tenants", "set", "narrow", "--tier", "free", "--concurrency", "1").returncode == 0
    first, second, third = (started(stack, "narrow") for _ in range(3))
    eventually(lambda: status_of(stack, first) == "running" and status_of(stack, third) == "queued")
    assert stack.penstock("cancel", second).returncode == 0
    assert stack.json("get", second)["attempts"] == 0
    assert status_of(stack, third) == "queued"
    assert stack.penstock("cancel", first).returncode == 0
    eventually(lambda: status_of(stack, third) == "running")
    assert stack.penstock("cancel", third).returncode == 0


def test_an_unknown_one_is_not_found(stack: Stack):
    done = stack.penstock("cancel", "no-such-execution")
    assert done.returncode == 1
    assert "no-such-execution" in done.stderr
