"""One run as OpenTelemetry spans, from what its slot reports: the slot itself knows nothing of tracing."""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from penstock.agents import Reportable
from penstock_consumers.worker.metrics import tokens_of
from penstock_schemas import records as r
from penstock_schemas.topics import dispatch_topic
from penstock_schemas.traces import TraceContext
from penstock_services.tracing import context_of, position_of

MOST_CHILDREN = 1_000
"""Child spans of one run; an agent in a loop must not flood the collector. Later ones are counted."""
MOST_CHARS = 2_048
"""Of what an agent says, in one attribute."""
FAILURES = frozenset({"failed", "timed_out", "lease_lost"})

_tracer = trace.get_tracer("penstock.worker")


class RunSpans:
    """`agent.execution` with its children `agent.step` and `agent.tool_call`.

    Args:
        dispatch: the attempt that runs.
        came_with: the dispatch's own trace; the run is a span of it.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        dispatch: r.ExecutionDispatched,
        came_with: TraceContext | None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        attributes: dict[str, AttributeValue] = {
            "agent.execution_id": dispatch.execution_id,
            "agent.epoch": dispatch.epoch,
            "penstock.tenant_id": dispatch.tenant_id,
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": dispatch.agent_type,
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": dispatch_topic(dispatch.queue).name,
            "messaging.message.id": dispatch.event_id,
        }
        if dispatch.model:
            attributes["gen_ai.request.model"] = dispatch.model
        self._model_known = dispatch.model is not None
        self._clock = clock
        self._started_ns = clock()
        self._span = _tracer.start_span(
            "agent.execution",
            context=context_of(came_with),
            kind=trace.SpanKind.CONSUMER,
            attributes=attributes,
            start_time=self._started_ns,
        )
        self._context = trace.set_span_in_context(self._span, Context())
        self._steps: dict[int, trace.Span] = {}
        self._children = 0
        self._input_tokens = self._output_tokens = 0
        self.position = position_of(self._span)
        """What the run's records carry."""

    def report(self, record: Reportable) -> None:
        if not self._span.is_recording():
            return
        match record:
            case r.StepStarted():
                self._begin_step(record)
            case r.StepFinished():
                step = self._steps.pop(record.step_number, None)
                if step is not None:
                    _end(step, record.error if record.status == "error" else None, self._ns(record.occurred_at))
            case r.ToolCalled():
                self._tool(record)
            case r.RecordUsage():
                used_input, used_output = tokens_of(record)
                self._input_tokens += used_input
                self._output_tokens += used_output
                if not self._model_known:
                    self._model_known = True
                    self._span.set_attribute("gen_ai.request.model", record.model)

    def end(self, status: str, error_type: str | None, error_message: str | None) -> None:
        """Close every span; steps that had not ended were cut off with the run."""
        for step in self._steps.values():
            step.set_status(trace.StatusCode.ERROR, "the run ended first")
            step.end(self._clock())
        span = self._span
        span.set_attribute("agent.status", status)
        if self._input_tokens or self._output_tokens:
            span.set_attribute("gen_ai.usage.input_tokens", self._input_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", self._output_tokens)
        if self._children > MOST_CHILDREN:
            span.set_attribute("agent.spans_left_out", self._children - MOST_CHILDREN)
        if error_type is not None:
            _record_exception(span, error_type, error_message or "", self._clock())
        if status in FAILURES:
            span.set_status(trace.StatusCode.ERROR, error_message or status)
        span.end(self._clock())

    def _begin_step(self, record: r.StepStarted) -> None:
        if self._is_too_many():
            return
        self._steps[record.step_number] = _tracer.start_span(
            "agent.step",
            context=self._context,
            attributes={
                "agent.step_number": record.step_number,
                "agent.step_type": record.step_type[:MOST_CHARS],
                "agent.step_name": record.name[:MOST_CHARS],
            },
            start_time=self._ns(record.occurred_at),
        )

    def _tool(self, record: r.ToolCalled) -> None:
        """A call is reported when it is over. It belongs to the step that was begun last and has not ended."""
        if self._is_too_many():
            return
        step = next(reversed(self._steps.values()), None)
        ended_us = record.occurred_at
        span = _tracer.start_span(
            "agent.tool_call",
            context=self._context if step is None else trace.set_span_in_context(step, Context()),
            attributes={
                "agent.tool_name": record.tool_name[:MOST_CHARS],
                "agent.tool_duration_ms": record.duration_ms,
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": record.tool_name[:MOST_CHARS],
            },
            start_time=self._ns(ended_us - record.duration_ms * 1000),
        )
        _end(span, None if record.status == "success" else record.summary or "error", self._ns(ended_us))

    def _is_too_many(self) -> bool:
        self._children += 1
        return self._children > MOST_CHILDREN

    def _ns(self, occurred_at: int) -> int:
        """A time of the slot's, in microseconds, as nanoseconds within the run: a slot may say anything."""
        return min(max(occurred_at * 1000, self._started_ns), self._clock())


def _end(span: trace.Span, error: str | None, ended_ns: int) -> None:
    """End a child; `error` is `Type: message`, as the agent's context writes it."""
    if error is None:
        span.set_status(trace.StatusCode.OK)
    else:
        error_type, colon, message = error[:MOST_CHARS].partition(": ")
        _record_exception(span, *((error_type, message) if colon else ("error", error_type)), ended_ns)
        span.set_status(trace.StatusCode.ERROR, error[:MOST_CHARS])
    span.end(ended_ns)


def _record_exception(span: trace.Span, error_type: str, message: str, at_ns: int) -> None:
    """As `Span.record_exception` does, for an exception of another process."""
    span.add_event("exception", {"exception.type": error_type, "exception.message": message}, at_ns)
    span.set_attribute("error.type", error_type)
