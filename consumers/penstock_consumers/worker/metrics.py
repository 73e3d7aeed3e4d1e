"""What a worker counts for Prometheus: `agent_*` for who runs agents, `penstock_*` for who runs workers."""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram

from penstock.agents import Reportable
from penstock_schemas import records as r
from penstock_services.metrics import BoundedValues, Children

_executions = Children(
    Counter("agent_executions", "Runs that ended on this worker, by how", ["agent_type", "status"])
)
_steps = Children(Counter("agent_steps", "Steps that ended", ["agent_type", "step_type"]))
_tool_calls = Children(Counter("agent_tool_calls", "Tool calls, by success or error", ["tool_name", "status"]))
_active = Children(Gauge("agent_active_executions", "Runs under way on this worker", ["agent_type"]))
_execution_seconds = Children(
    Histogram(
        "agent_execution_duration_seconds",
        "From the lease to the end of the run",
        ["agent_type"],
        buckets=(1, 5, 10, 30, 60, 120, 300, 600),
    )
)
_step_seconds = Children(
    Histogram(
        "agent_step_duration_seconds",
        "Steps that ended",
        ["step_type"],
        buckets=(0.1, 0.5, 1, 2, 5, 10, 30),
    )
)
_tokens = Children(
    Histogram(
        "agent_token_usage",
        "Tokens, input and output, of one run that called a model",
        ["agent_type"],
        buckets=(100, 500, 1_000, 5_000, 10_000, 50_000, 100_000),
    )
)
SERVED = Children(Gauge("penstock_worker_tier", "1 for each tier whose sandbox holds here", ["queue", "tier"]))
LEASES_HELD = Gauge("penstock_worker_leases_held", "Leases this worker holds")
CLAIMS = Children(
    Counter("penstock_worker_claims", "Claims by their answer: granted, denied, unanswered", ["answer"])
)

_agent_types, _step_types, _tool_names = BoundedValues(), BoundedValues(), BoundedValues()


class RunCounts:
    """Counts one run, from what it reports."""

    def __init__(self, agent_type: str) -> None:
        self._agent = _agent_types(agent_type)
        self._started_s = time.monotonic()
        self._tokens_used: int | None = None
        _active(self._agent).inc()

    def report(self, record: Reportable) -> None:
        match record:
            case r.StepFinished():
                step_type = _step_types(record.step_type)
                _steps(self._agent, step_type).inc()
                _step_seconds(step_type).observe(max(record.duration_ms, 0) / 1000)
            case r.ToolCalled():
                status = "success" if record.status == "success" else "error"
                _tool_calls(_tool_names(record.tool_name), status).inc()
            case r.RecordUsage():
                self._tokens_used = (self._tokens_used or 0) + sum(tokens_of(record))

    def end(self, status: str) -> None:
        _active(self._agent).dec()
        _executions(self._agent, status).inc()
        _execution_seconds(self._agent).observe(time.monotonic() - self._started_s)
        if self._tokens_used is not None:
            _tokens(self._agent).observe(self._tokens_used)


def tokens_of(usage: r.RecordUsage) -> tuple[int, int]:
    """Input, cached or not, and output tokens of one provider call."""
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    return usage.input_tokens + cached, usage.output_tokens
