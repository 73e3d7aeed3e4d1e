"""Kafka = ledger = bill, and the audit notices when they are not. Last, because it damages the ledger."""

from __future__ import annotations

import json

import clickhouse_connect
import pytest

from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e


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
