"""The README's examples, run as they stand there against the stack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"<!-- example: (\w+) -->\n```python\n(.*?)```", re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall((ROOT / "README.md").read_text()))


def run(code: str, stack: Stack) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_has_the_examples_it_promises():
    assert set(EXAMPLES) == {"sdk", "resume", "kafka"}


def test_the_sdk_example_prints_the_events_the_result_and_the_bill(stack: Stack):
    lines = run(EXAMPLES["sdk"], stack).splitlines()
    events, (output, usd) = lines[:-2], lines[-2:]
    assert {"ExecutionAdmitted", "AttemptStarted", "StepStarted", "ExecutionCompleted"} <= set(events)
    assert (output, len(usd.partition(".")[2])) == ("hello", 6)


def test_the_resume_example_goes_on_where_it_stopped(stack: Stack):
    harness = """
import asyncio

async def main():
    async with penstock.Client() as client:
        run = await client.submit("echo", "hello", tenant="acme")
        kept = await follow_on(client, run.execution_id, None)
        print("again")
        assert await follow_on(client, run.execution_id, kept) == kept

asyncio.run(main())
"""
    lines = run(EXAMPLES["resume"] + harness, stack).splitlines()
    assert "ExecutionCompleted" in lines
    assert lines[-1] == "again"


def test_the_plain_kafka_example_leads_to_a_completed_run(stack: Stack):
    run(EXAMPLES["kafka"], stack)

    def outputs() -> list[str]:
        rows = stack.json("list", "--tenant", "acme", "--status", "completed")
        return [row["output"] for row in rows if row["output"] == "hello from a plain Kafka client"]

    assert eventually(outputs)


def test_the_two_tenants_example_finishes_every_run(stack: Stack):
    code = (ROOT / "examples" / "two_tenants.py").read_text()
    assert "20 runs in" in run(code, stack)
