"""A run as spans: names, attributes, parents, recorded exceptions; from what its slot reports."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from penstock_consumers.worker.observing import Observed
from penstock_consumers.worker.spans import MOST_CHILDREN, RunSpans
from penstock_schemas import records as r
from penstock_schemas.traces import TraceContext, trace_of
from tests.fixtures.tracing import Spans

CALLER = TraceContext(f"00-{'4' * 32}-{'7' * 16}-01", "vendor=1")
UNSAMPLED = TraceContext(f"00-{'4' * 32}-{'7' * 16}-00")
RUN: dict[str, Any] = {"tenant_id": "acme", "execution_id": "e-1", "epoch": 2}


def dispatch(**fields: Any) -> r.ExecutionDispatched:
    work = {"event_id": "d-1", "request_id": "q", "agent_type": "assistant", "model": "gpt-4", "timeout_s": 60}
    return r.ExecutionDispatched(**RUN | work | fields, dispatch_seq=1)


def now_us() -> int:
    return time.time_ns() // 1000


def step_started(number: int = 1, **fields: Any) -> r.StepStarted:
    values = {"occurred_at": now_us(), "seq": 1, "step_number": number, "step_type": "model", "name": "think"}
    return r.StepStarted(**RUN | values | fields)


def step_finished(number: int = 1, **fields: Any) -> r.StepFinished:
    values = {"occurred_at": now_us(), "seq": 2, "step_number": number, "step_type": "model", "duration_ms": 5}
    return r.StepFinished(**RUN | values | {"status": "ok"} | fields)


def tool_called(**fields: Any) -> r.ToolCalled:
    values = {"occurred_at": now_us(), "seq": 3, "tool_name": "search", "status": "success", "duration_ms": 7}
    return r.ToolCalled(**RUN | values | fields)


def used(call_seq: int = 1, **fields: Any) -> r.RecordUsage:
    counts = {"input_tokens": 10, "cache_read_tokens": 3, "cache_write_tokens": 2, "output_tokens": 20}
    values = {"usage_id": f"u-{call_seq}", "call_seq": call_seq, "model": "gpt-4", "reasoning_tokens": 5}
    return r.RecordUsage(**RUN | values | counts | fields)


def finish(status: str = "completed", **fields: Any) -> r.FinishAttempt:
    return r.FinishAttempt(**RUN, worker_id="w", status=status, last_seq=3, **fields)


def observe(*reports: Any, came_with: TraceContext | None = CALLER, **fields: Any) -> Observed:
    """One run that reports all of these."""
    with Observed(dispatch(**fields), came_with) as observed:
        for each in reports:
            observed.finish(each) if isinstance(each, r.FinishAttempt) else observed.report(each)
    return observed


def test_the_run_is_a_span_of_the_trace_that_asked_for_it(spans: Spans) -> None:
    observed = observe(used(), used(2), finish())
    run = spans.one("agent.execution")
    assert run.parent is not None
    assert f"{run.context.trace_id:032x}/{run.parent.span_id:016x}" == f"{'4' * 32}/{'7' * 16}"
    assert run.kind is SpanKind.CONSUMER
    assert run.status.status_code is StatusCode.UNSET
    assert dict(run.attributes or {}) == {
        "agent.execution_id": "e-1",
        "agent.epoch": 2,
        "agent.status": "completed",
        "penstock.tenant_id": "acme",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "assistant",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 40,
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "penstock.executions.dispatch.agents-default.v1",
        "messaging.message.id": "d-1",
    }
    assert observed.trace == TraceContext(f"00-{'4' * 32}-{run.context.span_id:016x}-01", "vendor=1")


def test_steps_and_tool_calls_are_its_children_with_their_own_times(spans: Spans) -> None:
    times_ns = iter(range(1_000_000_000, 2_000_000_000, 10_000_000))
    run_spans = RunSpans(dispatch(), CALLER, clock=lambda: next(times_ns))
    run_spans.report(step_started(occurred_at=1_000_500))
    run_spans.report(tool_called(occurred_at=1_009_000))
    run_spans.report(step_finished(occurred_at=1_011_000))
    run_spans.report(tool_called(occurred_at=1_012_000))
    run_spans.end("completed", None, None)
    run, step = spans.one("agent.execution"), spans.one("agent.step")
    inside, after = spans.named("agent.tool_call")
    parents = [each.parent and each.parent.span_id for each in (step, inside, after)]
    assert parents == [run.context.span_id, step.context.span_id, run.context.span_id]
    assert (step.start_time, step.end_time) == (1_000_500_000, 1_011_000_000)
    assert (inside.start_time, inside.end_time) == (1_002_000_000, 1_009_000_000)
    assert dict(step.attributes or {}) == {
        "agent.step_number": 1,
        "agent.step_type": "model",
        "agent.step_name": "think",
    }
    assert dict(inside.attributes or {}) == {
        "agent.tool_name": "search",
        "agent.tool_duration_ms": 7,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
    }
    assert {each.status.status_code for each in (step, inside)} == {StatusCode.OK}


def test_what_failed_has_the_status_and_the_exception(spans: Spans) -> None:
    failed = finish("failed", error_type="ProviderDown", error_message="503: try later")
    observe(
        step_started(),
        tool_called(status="error", summary="KeyError: 'city'"),
        step_finished(status="error", error="ValueError: no: colon"),
        failed,
    )
    expected = {
        "agent.tool_call": ("KeyError", "'city'"),
        "agent.step": ("ValueError", "no: colon"),
        "agent.execution": ("ProviderDown", "503: try later"),
    }
    for name, (error_type, message) in expected.items():
        span = spans.one(name)
        (event,) = span.events
        assert event.name == "exception"
        assert dict(event.attributes or {}) == {"exception.type": error_type, "exception.message": message}
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == error_type


def test_a_run_that_lost_its_lease_ends_its_open_steps_as_failed(spans: Spans) -> None:
    observe(step_started())
    assert spans.one("agent.step").status.description == "the run ended first"
    run = spans.one("agent.execution")
    assert (run.attributes or {})["agent.status"] == "lease_lost"
    assert run.status.status_code is StatusCode.ERROR


def test_a_request_without_a_trace_begins_one(spans: Spans) -> None:
    observed = observe(finish(), came_with=None, model=None)
    run = spans.one("agent.execution")
    assert run.parent is None
    assert observed.trace is not None
    assert int(observed.trace.trace_id, 16) == run.context.trace_id


def test_a_trace_that_is_not_recorded_is_passed_on_and_not_recorded(spans: Spans) -> None:
    observed = observe(step_started(), tool_called(), step_finished(), finish(), came_with=UNSAMPLED)
    assert not spans.named("agent.execution") + spans.named("agent.step") + spans.named("agent.tool_call")
    assert observed.trace is not None
    assert (observed.trace.trace_id, observed.trace.sampled) == ("4" * 32, False)
    assert trace_of(observed.trace.headers()) == observed.trace


def test_the_model_is_the_one_that_was_used_where_none_was_asked_for(spans: Spans) -> None:
    observe(used(model="claude-3-haiku"), used(2), finish(), model=None)
    assert (spans.one("agent.execution").attributes or {})["gen_ai.request.model"] == "claude-3-haiku"


def test_times_a_slot_makes_up_stay_within_the_run(spans: Spans) -> None:
    observe(step_started(occurred_at=1), tool_called(occurred_at=(1 << 62) - 1, duration_ms=-(1 << 40)), finish())
    run = spans.one("agent.execution")
    for span in spans.named("agent.step") + spans.named("agent.tool_call"):
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time  # type: ignore[operator]


def test_an_agent_in_a_loop_does_not_flood_the_collector(spans: Spans) -> None:
    observe(*(step_started(number) for number in range(MOST_CHILDREN)), *[tool_called()] * 5, finish())
    assert len(spans.named("agent.step")) == MOST_CHILDREN
    assert not spans.named("agent.tool_call")
    assert (spans.one("agent.execution").attributes or {})["agent.spans_left_out"] == 5
