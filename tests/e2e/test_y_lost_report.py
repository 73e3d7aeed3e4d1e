"""A worker that dies in a provider call; after the tests that nothing restarted, before what spoils the books."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.test_prices import client
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(240)
def test_a_call_whose_worker_was_killed_before_its_report_is_found_by_name_and_settled(stack: Stack):
    tenant = f"lost-{uuid4().hex[:8]}"
    stack.json("tenants", "set", tenant, "--tier", "pro", "--monthly-tokens", "100000")

    async def run() -> str:
        async with client(stack) as sdk:
            await sdk.submit("waits", "3600", tenant=tenant, reserve_tokens=1_000)
            submitted = await sdk.submit(
                "killed-while-calling", "", tenant=tenant, max_attempts=1, reserve_tokens=2_000
            )
            return submitted.execution_id

    execution_id = asyncio.run(run())
    eventually(lambda: len(stack.json("usage", "unresolved", "--tenant", tenant)) == 1, within_s=120)
    (call,) = stack.json("usage", "unresolved", "--tenant", tenant)
    assert (call["execution_id"], call["model"], call["reserved_tokens"]) == (execution_id, "gpt-4", 500)
    assert stack.json("budget", "check", tenant, "--tokens", "1")["tokens_left"] == 98_500
    held = stack.json("audit", "--reservations")
    assert (held["leaks"], held["reservations"] >= 2) == ([], True)  # the run that waits, and the call
    tokens = ("--input-tokens", "100", "--output-tokens", "10")
    settled = stack.penstock("usage", "settle", call["usage_id"], *tokens)
    assert settled.returncode == 0, settled.stderr
    eventually(lambda: stack.json("bill", tenant)["total"]["calls"] != 0)
    assert stack.json("bill", tenant)["total"]["cost_nanousd"] == 100 * 30_000 + 10 * 60_000
    assert stack.json("budget", "check", tenant, "--tokens", "1")["tokens_left"] == 98_890
    assert stack.json("usage", "unresolved", "--tenant", tenant) == []
    assert stack.json("audit", "--reservations")["leaks"] == []
    assert stack.penstock("audit").returncode == 0
