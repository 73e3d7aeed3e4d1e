"""Kafka = ledger = bill, and the audit notices when they are not. Last, because it damages ledger and budgets."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import clickhouse_connect
import pytest
from aiokafka import AIOKafkaProducer

from penstock_streams.accounts.budget import Amount, Budget
from penstock_streams.accounts.model import budget_key
from penstock_streams.kit.rows import encode, row_key
from tests.e2e.conftest import Stack
from tests.second_run import counts_at_once

pytestmark = [pytest.mark.e2e, counts_at_once]


@pytest.mark.timeout(300)
def test_audit_agrees_then_finds_one_deleted_ledger_row(stack: Stack):
    ran = stack.penstock("run", "echo", "--input", "pay me", "--tenant", "audited", "--model", "gpt-4", "--follow")
    assert ran.returncode == 0, ran.stderr
    agreed = stack.penstock("audit", "--json")
    assert agreed.returncode == 0, agreed.stdout + agreed.stderr
    findings = json.loads(agreed.stdout)
    assert findings["charged_lines"] > 0
    assert findings["usage_nanousd"] == findings["ledger_nanousd"] == findings["billed_nanousd"] > 0

    env = stack.env
    client = clickhouse_connect.get_client(
        host=env["PENSTOCK_CLICKHOUSE_HOST"],
        port=int(env["PENSTOCK_CLICKHOUSE_PORT"]),
        username=env["PENSTOCK_CLICKHOUSE_USER"],
        password=env["PENSTOCK_CLICKHOUSE_PASSWORD"],
        database="penstock",
    )
    client.command("DELETE FROM ledger WHERE tenant_id = 'audited'")
    damaged = stack.penstock("audit", "--wait", "0")
    assert damaged.returncode == 1
    assert "missing from the ledger" in " ".join(damaged.stdout.split())


@pytest.mark.timeout(300)
def test_the_audit_of_budgets_finds_one_that_keeps_what_nobody_holds(stack: Stack):
    assert stack.json("audit", "--reservations")["leaks"] == []

    async def damage() -> None:
        async with AIOKafkaProducer(bootstrap_servers=stack.env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"]) as producer:
            row = encode(Budget(reserved=Amount(5, 0)))
            await producer.send_and_wait("penstock-accounts-changelog", row, row_key(budget_key("leaks", "ann")))

    asyncio.run(damage())
    damaged = stack.penstock("audit", "--reservations")
    assert damaged.returncode == 1
    assert "DIFFERENCE leaks user 'ann': reserved tokens: expected 0, found 5" in damaged.stdout


def test_an_audit_of_budgets_that_reaches_no_broker_says_so(stack: Stack):
    env = stack.env | {"PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    command = [sys.executable, "-m", "penstock", "audit", "--reservations"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "127.0.0.1:1" in done.stderr) == (4, True), done.stderr


def test_an_audit_of_budgets_without_their_table_says_that_it_cannot_tell(stack: Stack):
    env = stack.env | {"PENSTOCK_STREAMS_APP_ID": "another"}
    command = [sys.executable, "-m", "penstock", "audit", "--reservations"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "another-accounts-changelog" in done.stderr) == (5, True), done.stderr
