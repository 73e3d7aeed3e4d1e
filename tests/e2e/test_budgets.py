"""Budgets through the real stack: a race for the last token, a check, and what is refused."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.test_prices import client
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e

PRODUCERS, REQUESTS_EACH = 8, 125
FITTING, RESERVED = 100, 1_000


@pytest.mark.timeout(240)
def test_producers_at_once_get_what_fits_the_budget_and_not_one_more(stack: Stack):
    tenant = f"race-{uuid4().hex[:8]}"
    limit = FITTING * RESERVED + 999
    limits = ("--tier", "enterprise", "--concurrency", "1", "--monthly-tokens", str(limit))
    assert stack.json("tenants", "set", tenant, *limits)["monthly_tokens"] == limit

    async def produce() -> None:
        async with client(stack) as sdk:
            for _ in range(REQUESTS_EACH):
                await sdk.submit("waits", "3600", tenant=tenant, reserve_tokens=RESERVED)

    async def race() -> None:
        await asyncio.gather(*(produce() for _ in range(PRODUCERS)))

    asyncio.run(race())
    left = stack.penstock("budget", "check", tenant, "--tokens", "1000", "--json")
    assert (left.returncode, '"tokens_left":999' in left.stdout.replace(" ", "")) == (1, True), left.stdout
    assert "budget_exceeded" in left.stderr

    def outcomes() -> list[str]:
        return [row["status"] for row in stack.json("list", "--tenant", tenant, "--limit", "2000")]

    eventually(lambda: len(outcomes()) == PRODUCERS * REQUESTS_EACH)
    assert outcomes().count("rejected") == PRODUCERS * REQUESTS_EACH - FITTING

    async def cancel_all() -> None:
        async with client(stack) as sdk:
            running = [row for row in await sdk.list(tenant, limit=2_000) if row.status != "rejected"]
            await asyncio.gather(*(sdk.cancel(row.execution_id, tenant=tenant) for row in running))

    asyncio.run(cancel_all())
    eventually(lambda: stack.json("budget", "check", tenant, "--tokens", "1")["tokens_left"] == limit)


def test_a_users_budget_is_refused_by_name(stack: Stack):
    tenant = f"users-{uuid4().hex[:8]}"
    set_user = stack.json("budget", "set-user", tenant, "ann", "--monthly-usd", "0.01")
    assert (set_user["monthly_nanousd"], set_user["monthly_tokens"]) == (10_000_000, None)
    run = ("run", "echo", "-i", "hi", "--tenant", tenant, "--follow")
    refused = stack.penstock(*run, "--user", "ann")
    assert (refused.returncode, "model_not_priced" in refused.stderr) == (3, True), refused.stderr
    refused = stack.penstock(*run, "--user", "ann", "--model", "gpt-4")
    assert (refused.returncode, "user 'ann'" in refused.stderr) == (3, True), refused.stderr
    assert stack.penstock(*run, "--user", "bob").stdout == "hi\n"


@pytest.mark.parametrize("amount", ["-1", "NaN", "1e3", "0.0000000001"])
def test_a_budget_that_is_no_amount_is_refused_before_anything_is_sent(stack: Stack, amount: str):
    done = stack.penstock("tenants", "set", "acme", "--tier", "pro", f"--monthly-usd={amount}")
    assert (done.returncode, "monthly_usd" in done.stderr) == (2, True), done.stderr
