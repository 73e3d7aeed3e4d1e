"""docs/pipelines.md and the examples on the whole stack, as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pipelines.md").read_text()
REPORT = str(ROOT / "examples" / "pipelines" / "report.yaml")


def test_the_example_of_the_page_runs_as_it_stands_there(stack: Stack):
    (code,) = re.findall(r"<!-- example: pipeline -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], env=stack.env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    *events, output, state = done.stdout.splitlines()
    assert (events[0].strip(), events[-1].strip()) == ("PipelineStarted", "PipelineCompleted")
    assert output == "Ann: hello; Ben: hello"
    assert state == "completed [('Ann', 'hello'), ('Ben', 'hello'), ('Join', 'Ann: hello; Ben: hello')]"


def test_a_report_on_a_real_document_is_shown_as_it_goes_and_listed_with_its_cost(stack: Stack):
    document = f"@{ROOT / 'docs' / 'accounts.md'}"
    whose = ("--tenant", "reports", "--user", "ann")
    run = stack.penstock("pipeline", "run", REPORT, "--input", document, "--follow", *whose)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Summary\n- ")
    pipeline_id = run.stderr.split()[1]
    shown = stack.json("pipeline", "get", pipeline_id, *whose)
    assert [(stage["name"], stage["step"], stage["status"]) for stage in shown["stages"]] == [
        ("Research", 0, "completed"),
        ("Promises", 1, "completed"),
        ("Limits", 1, "completed"),
        ("Write", 2, "completed"),
        ("Review", 3, "completed"),
    ]
    assert shown["used_tokens"] == sum(stage["used_tokens"] for stage in shown["stages"]) > 0

    def listed() -> bool:
        found = stack.json("pipeline", "list", "--status", "completed", *whose)
        return [each["pipeline_id"] for each in found] == [pipeline_id]

    assert eventually(listed)

    def cost() -> int:
        found = stack.json("pipeline", "get", pipeline_id, *whose)
        return int(found["cost_nanousd"]) if all(stage["cost_nanousd"] for stage in found["stages"]) else 0

    assert eventually(cost) > 0


def test_what_only_the_stage_knows_is_refused_with_its_reason(stack: Stack):
    for stage, reason in (
        ("{agent: echo, queue: nobody-reads-it}", "unknown_queue"),
        ("{agent: echo, max_attempts: 1000000}", "invalid_request"),
    ):
        run = stack.penstock("pipeline", "run", "-", "--input", "x", "--follow", stdin=f"stages: [{stage}]")
        assert (run.returncode, run.stdout) == (3, ""), run.stderr
        assert reason in run.stderr
