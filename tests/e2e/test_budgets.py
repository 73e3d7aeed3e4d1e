"""Budgets through the real stack: a race for the last token, a check, and what is refused."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from penstock.settings import KafkaSettings
from tests.budget_race.race import Outcome, problem_with, track
from tests.e2e.conftest import UNSERVED_QUEUE, Stack
from tests.e2e.test_prices import client
from tests.e2e.waiting import eventually
from tests.second_run import counts_at_once

pytestmark = [pytest.mark.e2e, counts_at_once]

SEEDS = range(3)
"""`python -m tests.budget_race` runs fifty."""


@pytest.mark.timeout(300)
def test_producers_at_once_get_what_fits_the_budget_and_not_one_more(stack: Stack):
    kafka = KafkaSettings(bootstrap_servers=stack.env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"])

    async def races() -> tuple[list[Outcome], str]:
        async with track(kafka, stack.env["PENSTOCK_REGISTRY_URL"], UNSERVED_QUEUE) as racing:
            audit = asyncio.create_task(asyncio.to_thread(stack.penstock, "audit", "--reservations"))
            outcomes = [await racing.race(seed) for seed in SEEDS]
            audited = await audit
        return outcomes, audited.stdout + audited.stderr

    outcomes, audited = asyncio.run(races())
    assert [problem_with(outcome) for outcome in outcomes] == [None] * len(SEEDS)
    assert "All equal." in audited  # amid all that


def test_a_check_says_what_is_left_and_refuses_what_is_more(stack: Stack):
    tenant = f"checks-{uuid4().hex[:8]}"
    limits = ("--tier", "pro", "--monthly-tokens", "1999")
    assert stack.json("tenants", "set", tenant, *limits)["monthly_tokens"] == 1_999

    async def wait_for_a_worker() -> str:
        async with client(stack) as sdk:
            asked = await sdk.submit("echo", "", tenant=tenant, reserve_tokens=1_000, queue=UNSERVED_QUEUE)
            return asked.execution_id

    execution_id = asyncio.run(wait_for_a_worker())
    left = stack.penstock("budget", "check", tenant, "--tokens", "1000", "--json")
    assert (left.returncode, '"tokens_left":999' in left.stdout.replace(" ", "")) == (1, True), left.stdout
    assert "budget_exceeded" in left.stderr
    eventually(lambda: stack.penstock("cancel", execution_id).returncode == 0)
    eventually(lambda: stack.json("budget", "check", tenant, "--tokens", "1")["tokens_left"] == 1_999)


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
