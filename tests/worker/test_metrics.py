"""What Prometheus gets to see: names, labels and buckets are the contract of dashboards and alerts."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from penstock_consumers.worker.metrics import RunCounts
from penstock_schemas import records as r
from tests.worker.test_spans import step_finished, tool_called, used

LISTED = {
    "agent_executions": ("counter", {"agent_type", "status"}),
    "agent_steps": ("counter", {"agent_type", "step_type"}),
    "agent_tool_calls": ("counter", {"tool_name", "status"}),
    "agent_active_executions": ("gauge", {"agent_type"}),
    "agent_execution_duration_seconds": ("histogram", {"agent_type"}),
    "agent_step_duration_seconds": ("histogram", {"step_type"}),
    "agent_token_usage": ("histogram", {"agent_type"}),
}
BUCKETS = {
    "agent_execution_duration_seconds": [1, 5, 10, 30, 60, 120, 300, 600],
    "agent_step_duration_seconds": [0.1, 0.5, 1, 2, 5, 10, 30],
    "agent_token_usage": [100, 500, 1000, 5000, 10000, 50000, 100000],
}


@pytest.fixture
def agent() -> Iterator[str]:
    """The label of an agent that no other test has; `other` once there were a hundred."""
    return f"agent-{uuid4().hex[:8]}"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_names_labels_and_buckets_are_the_listed_ones(agent: str) -> None:
    counts = RunCounts(agent)
    for report in step_finished(), tool_called(), used():
        counts.report(report)
    counts.end("completed")
    families = {each.name: each for each in text_string_to_metric_families(generate_latest().decode())}
    agents = {name: each for name, each in families.items() if name.startswith("agent_")}
    assert {name: each.type for name, each in agents.items()} == {name: kind for name, (kind, _) in LISTED.items()}
    for name, (_, labels) in LISTED.items():
        assert agents[name].samples
        for sample in agents[name].samples:
            assert set(sample.labels) - {"le"} == labels
    for name, buckets in BUCKETS.items():
        bounds = {sample.labels["le"] for sample in agents[name].samples if sample.name == f"{name}_bucket"}
        assert sorted(map(float, bounds)) == [*map(float, buckets), float("inf")]


def test_a_run_is_counted_as_what_it_did(agent: str) -> None:
    before = value("agent_tool_calls_total", tool_name="search", status="error")
    counts = RunCounts(agent)
    assert value("agent_active_executions", agent_type=agent) == 1
    for report in (
        step_finished(duration_ms=400),
        step_finished(2, duration_ms=700),
        tool_called(status="error"),
        used(),
        used(2),
    ):
        counts.report(report)
    counts.end("failed")
    assert value("agent_active_executions", agent_type=agent) == 0
    assert value("agent_executions_total", agent_type=agent, status="failed") == 1
    assert value("agent_steps_total", agent_type=agent, step_type="model") == 2
    assert value("agent_tool_calls_total", tool_name="search", status="error") == before + 1
    assert value("agent_execution_duration_seconds_count", agent_type=agent) == 1
    assert value("agent_token_usage_sum", agent_type=agent) == 2 * (10 + 3 + 2 + 20)
    assert value("agent_token_usage_count", agent_type=agent) == 1


def test_a_run_without_a_model_has_no_token_usage(agent: str) -> None:
    counts = RunCounts(agent)
    counts.report(r.ProgressReported(tenant_id="t", execution_id="e", epoch=1, seq=1, message="half"))
    counts.end("completed")
    assert REGISTRY.get_sample_value("agent_token_usage_count", {"agent_type": agent}) is None
