"""Months are closed and calls corrected by command line. Late: no price can be listed for October after it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.test_prices import client
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e


def month_before(months: int) -> str:
    now = datetime.now(UTC)
    first = now.replace(day=1)
    for _ in range(months):
        first = (first - timedelta(days=1)).replace(day=1)
    return f"{first:%Y-%m}"


def record(stack: Stack, tenant: str, usage_id: str, **tokens: int) -> None:
    async def send() -> None:
        async with client(stack) as sdk:
            await sdk.record_usage(tenant=tenant, usage_id=usage_id, model="claude-3-haiku", **tokens)

    asyncio.run(send())


@pytest.mark.parametrize(
    ("month", "code", "said"),
    [
        (month_before(0), 3, "not_over"),
        ("2999-01", 3, "not_over"),
        ("2026-13", 2, "2026-13"),
        ("October", 2, "October"),
    ],
)
def test_a_month_that_cannot_be_closed_is_refused(stack: Stack, month: str, code: int, said: str):
    refused = stack.penstock("close", month)
    assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr


def test_a_month_is_closed_once_in_every_partition_and_takes_no_price_any_more(stack: Stack):
    closed = stack.json("close", month_before(1))
    assert closed["period"] == month_before(1)
    assert closed["partitions"] > 1
    assert isinstance(closed["compacted"], list)
    for month in (month_before(1), month_before(2)):
        again = stack.penstock("close", month)
        assert (again.returncode, "already_closed" in again.stderr) == (3, True), again.stderr
    price = ("--input-per-mtok", "1", "--output-per-mtok", "1", "--effective", f"{month_before(1)}-15")
    late = stack.penstock("prices", "set", "too-late", *price)
    assert (late.returncode, "period_closed" in late.stderr) == (3, True), late.stderr
    assert stack.penstock("clickhouse", "compact").returncode == 0
    eventually(lambda: stack.json("bill", "anybody", "--month", month_before(2))["closed_at"] is not None)
    assert stack.penstock("audit").returncode == 0


def test_a_correction_is_a_line_of_its_own_and_the_bill_is_what_the_call_truly_cost(stack: Stack):
    tenant, usage_id = f"corrected-{uuid4().hex[:8]}", f"call-{uuid4().hex[:8]}"
    record(stack, tenant, usage_id, input_tokens=1_000_000, output_tokens=10)
    eventually(lambda: stack.json("bill", tenant)["total"]["cost_nanousd"] == 250_000_000 + 10 * 1_250)
    line = stack.json("usage", "correct", usage_id, "--input-tokens", "600000", "--reason", "counted twice")
    assert (line["tenant_id"], line["cost_nanousd"], line["adjusts_period"]) == (tenant, -100_000_000, None)
    eventually(lambda: stack.json("bill", tenant)["total"]["cost_nanousd"] == 150_000_000 + 10 * 1_250)
    bill = stack.json("bill", tenant)
    assert (bill["total"]["calls"], bill["total"]["input_tokens"], bill["closed_at"]) == (1, 600_000, None)
    (adjusted,) = bill["adjustments"]
    assert (adjusted["late_calls"], adjusted["corrections"], adjusted["cost_nanousd"]) == (0, 1, -100_000_000)
    same = stack.penstock("usage", "correct", usage_id, "--input-tokens", "600000")
    assert (same.returncode, "no_difference" in same.stderr) == (3, True), same.stderr
    assert stack.penstock("audit").returncode == 0


def test_a_quarantined_call_is_charged_once_it_is_corrected(stack: Stack):
    tenant, usage_id = f"mended-{uuid4().hex[:8]}", f"call-{uuid4().hex[:8]}"
    record(stack, tenant, usage_id, input_tokens=10, output_tokens=5, reasoning_tokens=6)
    eventually(lambda: stack.json("bill", tenant)["quarantined"] != [])
    assert stack.json("usage", "correct", usage_id, "--reasoning-tokens", "5")["cost_nanousd"] == 2_500 + 6_250
    eventually(lambda: stack.json("bill", tenant)["total"]["cost_nanousd"] == 2_500 + 6_250)
    assert stack.json("bill", tenant)["quarantined"] == []


def test_what_cannot_be_corrected_is_refused_by_name(stack: Stack):
    unknown = stack.penstock("usage", "correct", "no-such-call", "--input-tokens", "1")
    assert (unknown.returncode, "no-such-call" in unknown.stderr) == (1, True), unknown.stderr
    negative = stack.penstock("usage", "correct", "no-such-call", "--input-tokens", "-1")
    assert (negative.returncode, "input_tokens" in negative.stderr) == (2, True), negative.stderr
    usage_id = f"shared-{uuid4().hex[:8]}"
    for tenant in ("one", "two"):
        record(stack, f"{tenant}-{usage_id}", usage_id, input_tokens=1, output_tokens=1)
        eventually(lambda tenant=tenant: stack.json("bill", f"{tenant}-{usage_id}")["total"]["calls"] != 0)
    both = stack.penstock("usage", "correct", usage_id, "--input-tokens", "2")
    assert (both.returncode, "name one" in both.stderr) == (2, True), both.stderr
    named = stack.json("usage", "correct", usage_id, "--input-tokens", "2", "--tenant", f"one-{usage_id}")
    assert named["cost_nanousd"] == 250
