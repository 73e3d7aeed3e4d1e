"""An operator's prices through the real stack: listed everywhere at once, charged, and agreed on by the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from penstock.client import Client
from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock.statements import Bill
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e

YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"


def client(stack: Stack) -> Client:
    env = stack.env
    return Client(
        kafka=KafkaSettings(bootstrap_servers=env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"]),
        registry=RegistrySettings(url=env["PENSTOCK_REGISTRY_URL"]),
        clickhouse=ClickHouseSettings(
            host=env["PENSTOCK_CLICKHOUSE_HOST"],
            port=int(env["PENSTOCK_CLICKHOUSE_PORT"]),
            user=env["PENSTOCK_CLICKHOUSE_USER"],
            password=env["PENSTOCK_CLICKHOUSE_PASSWORD"],
            database="penstock",
        ),
        artifacts=ArtifactSettings(url=None),
    )


def bill_after_one_call(stack: Stack, tenant: str, model: str, awaited: Callable[[Bill], bool]) -> None:
    """Report a call of a million input tokens, and wait for the bill that is `awaited`."""

    async def go() -> None:
        async with client(stack) as sdk, asyncio.timeout(60):
            await sdk.record_usage(
                tenant=tenant, usage_id=str(uuid4()), model=model, input_tokens=1_000_000, output_tokens=0
            )
            while not awaited(await sdk.bill(tenant)):
                await asyncio.sleep(0.1)

    asyncio.run(go())


def test_usage_of_an_unknown_model_is_billed_once_its_price_is_listed_and_the_audit_agrees(stack: Stack):
    tenant, model = "priced", f"ours-{uuid4().hex[:8]}"
    bill_after_one_call(stack, tenant, model, lambda bill: bill.quarantined_calls == 1)
    amounts = ("--input-per-mtok", "0.123456789", "--output-per-mtok", "1")
    listed = stack.json("prices", "set", model, *amounts, "--effective", YESTERDAY)
    assert listed["input_nanousd_per_mtok"] == 123_456_789
    again = stack.json("prices", "set", model, *amounts, "--effective", YESTERDAY)
    assert again == listed
    expected = (2 * 123_456_789, 0)
    bill_after_one_call(
        stack, tenant, model, lambda bill: (bill.total.cost_nanousd, bill.quarantined_calls) == expected
    )
    shown = stack.json("prices", "list", "--model", model)
    assert [(row["source"], row["version"]) for row in shown] == [("operator", listed["version"])]
    audit = stack.penstock("audit")
    assert audit.returncode == 0, audit.stdout


def test_a_price_that_contradicts_a_listed_one_is_refused_and_nothing_of_its_file_is_listed(
    stack: Stack, tmp_path: Path
):
    model = f"ours-{uuid4().hex[:8]}"
    stack.json(
        *("prices", "set", model, "--input-per-mtok", "1", "--output-per-mtok", "1", "--effective", YESTERDAY)
    )
    file = tmp_path / "prices.csv"
    rows = [f"{model}-sound,1,1,{YESTERDAY}", f"{model},2,1,{YESTERDAY}"]
    file.write_text("\n".join(["model,input_per_mtok,output_per_mtok,effective", *rows]))
    done = stack.penstock("prices", "import", str(file))
    assert (done.returncode, "price_conflict" in done.stderr) == (3, True), done.stderr
    file.write_text("\n".join(["model,input_per_mtok,output_per_mtok,effective", rows[0]]))
    assert len(stack.json("prices", "import", str(file))) == 1
    eventually(lambda: f"{model}-sound" in {row["model"] for row in stack.json("prices", "list")})


@pytest.mark.parametrize(
    ("amount", "says"),
    [("NaN", "no amount"), ("-1", "negative"), ("0.0000000001", "nano-dollar"), ("1 EUR", "no amount")],
)
def test_an_amount_that_is_none_is_refused_before_anything_is_sent(stack: Stack, amount: str, says: str):
    done = stack.penstock("prices", "set", "m", f"--input-per-mtok={amount}", "--output-per-mtok", "1")
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
