"""The caller's trace goes on with what it sends. OpenTelemetry's API alone: without an SDK in the process, or a
trace carried in from elsewhere, there is no span and no header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from penstock_schemas.topics import Topic

_tracer = trace.get_tracer("penstock")
_w3c = TraceContextTextMapPropagator()


@contextmanager
def sending_span(topic: Topic, execution_id: str, agent: str) -> Iterator[None]:
    """A span of the caller's trace around the sending of one request; an error in the body is recorded."""
    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic.name,
        "agent.execution_id": execution_id,
        "gen_ai.agent.name": agent,
    }
    with _tracer.start_as_current_span(f"send {topic.name}", kind=trace.SpanKind.PRODUCER, attributes=attributes):
        yield


def current_headers() -> dict[str, bytes]:
    """W3C trace context of the current span, as Kafka headers; empty where there is none."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return {name: value.encode() for name, value in carrier.items()}
