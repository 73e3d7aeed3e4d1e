"""A request travels the whole way: Kafka, admission, a worker, one result, a charge, ClickHouse, a bill."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime

import pytest

import penstock
from penstock.errors import RequestRejected
from penstock_services.pricing import BUILTIN_PRICES, Tokens, cost_nanousd
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e
MONTH = datetime.now(UTC).strftime("%Y-%m")


def test_a_run_ends_with_its_result_on_the_terminal(stack: Stack):
    done = stack.penstock("run", "echo", "--input", "hello from the outside", "--tenant", "acme", "--follow")
    assert done.returncode == 0, done.stderr
    assert "hello from the outside" in done.stdout


def test_usage_is_billed_at_the_list_price_to_the_nano_dollar(stack: Stack):
    done = stack.penstock(
        "run", "echo", "--input", "count these tokens", "--tenant", "billed", "--model", "gpt-4", "--follow"
    )
    assert done.returncode == 0, done.stderr
    bill = eventually(lambda: stack.json("bill", "billed")["by"]["model"])
    (line,) = bill
    tokens = Tokens(line["input_tokens"], 0, 0, line["output_tokens"])
    assert line["cost_nanousd"] == cost_nanousd(tokens, BUILTIN_PRICES["gpt-4"]) > 0
    assert stack.json("bill", "billed")["period"] == MONTH


def test_the_offline_assistant_reads_its_input_and_is_billed(stack: Stack):
    text = "Kafka keeps the log. The log is the truth. Penstock bills every token once. Bills are exact. " * 5
    done = stack.penstock("run", "assistant", "--input", "-", "--tenant", "reader", "--follow", stdin=text)
    assert done.returncode == 0, done.stderr
    assert "log" in done.stdout
    assert eventually(lambda: stack.json("bill", "reader")["by"]["model"])[0]["cost_nanousd"] > 0


def test_the_shell_agent_runs_its_command_in_the_sandbox_and_bills_what_it_used(stack: Stack):
    done = stack.penstock(
        "run", "shell", "--input", "hostname; id -u; ls /root", "--tenant", "sandboxed", "--follow"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cannot access '/root'" in done.stdout + done.stderr
    done = stack.penstock("run", "shell", "--input", "hostname; id -u", "--tenant", "sandboxed", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sandbox\n1000" in done.stdout
    lines = eventually(lambda: stack.json("bill", "sandboxed")["by"]["model"])
    assert lines[0]["name"] == "sandbox"
    assert lines[0]["cost_nanousd"] > 0


def test_an_unknown_agent_fails_the_run_and_names_those_there_are(stack: Stack):
    done = stack.penstock("run", "nobody", "--input", "x", "--tenant", "acme", "--follow")
    assert done.returncode == 1
    assert "echo" in done.stdout + done.stderr


def test_two_tenants_at_once_each_get_their_own_results(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    for name, value in stack.env.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)

    async def go() -> dict[str, list[str]]:
        async with penstock.Client() as client:
            sent = [
                (tenant, await client.submit("echo", f"{tenant} {n}", tenant=tenant))
                for n in range(10)
                for tenant in ("left", "right")
            ]
            outputs: dict[str, list[str]] = {"left": [], "right": []}
            for tenant, submission in sent:
                outputs[tenant].append(await client.result(submission.execution_id))
            return outputs

    outputs = asyncio.run(go())
    assert outputs == {tenant: [f"{tenant} {n}" for n in range(10)] for tenant in ("left", "right")}


def test_a_suspended_tenant_is_told_so_with_exit_code_3(stack: Stack):
    assert stack.penstock("tenants", "set", "naughty", "--tier", "free", "--suspended").returncode == 0
    done = stack.penstock("run", "echo", "--input", "x", "--tenant", "naughty", "--follow")
    assert done.returncode == RequestRejected.exit_code == 3
    assert "tenant_suspended" in done.stdout + done.stderr


def test_get_and_list_show_what_became_of_a_run(stack: Stack):
    ran = stack.json("run", "echo", "--input", "find me", "--tenant", "found", "--follow")
    execution_id = ran["execution_id"]
    got = eventually(lambda: stack.json("get", execution_id))
    assert (got["status"], got["output"]) == ("completed", "find me")
    assert [row["execution_id"] for row in stack.json("list", "--tenant", "found")] == [execution_id]
    watched = stack.penstock("watch", execution_id)
    assert watched.returncode == 0
    assert "find me" in watched.stdout


def test_the_stack_reports_every_process_healthy(stack: Stack):
    processes = {p["name"]: p for p in stack.json("status")["processes"]}
    assert {"kafka", "registry", "clickhouse", "streams", "loader", "worker"} <= set(processes)
    assert all(process["state"] == "healthy" for process in processes.values()), processes
