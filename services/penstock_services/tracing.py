"""Spans of this process: where they go, and how those of batches are made.

Nothing is exported unless the standard variables of OpenTelemetry say where to; without them every span here is
a no-op that passes its parent's context on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from penstock.errors import InvalidInput
from penstock_schemas.traces import TRACEPARENT, TRACESTATE, TraceContext

if TYPE_CHECKING:  # a process that exports nothing does not import the SDK
    from opentelemetry.sdk.trace.export import SpanExporter

MOST_LINKS = 32
"""Traces one batch's span links to; a batch may hold thousands."""

_tracer = trace.get_tracer("penstock")
_w3c = TraceContextTextMapPropagator()


@contextmanager
def tracing(process: str) -> Iterator[None]:
    """Export this process's spans while the body runs, where `OTEL_*` says so; flushes at the end.

    Args:
        process: `service.name` is `penstock-<process>`, unless `OTEL_SERVICE_NAME` says otherwise.

    Raises:
        InvalidInput: the variables ask for an exporter or a protocol that is not here.
    """
    exporter = _exporter()
    if exporter is None:
        yield
        return
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = os.environ.get("OTEL_SERVICE_NAME") or f"penstock-{process}"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: named}))  # the sampler is read from OTEL_*
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def _exporter() -> SpanExporter | None:
    given = os.environ
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    wanted = given.get("OTEL_TRACES_EXPORTER") or (
        "otlp" if any(given.get(name) for name in endpoints) else "none"
    )
    match wanted:
        case "none":
            return None
        case "console":
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            return ConsoleSpanExporter()
        case "otlp":
            protocol = given.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or given.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            if protocol not in (None, "", "http/protobuf"):
                raise InvalidInput(f"OTEL_EXPORTER_OTLP_PROTOCOL {protocol!r}: only http/protobuf is here")
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            return OTLPSpanExporter()
    raise InvalidInput(f"OTEL_TRACES_EXPORTER {wanted!r}: one of otlp (over HTTP), console, none")


def context_of(where: TraceContext | None) -> Context:
    """As OpenTelemetry's parent context; an empty one for None."""
    if where is None:
        return Context()
    return _w3c.extract({TRACEPARENT: where.traceparent, TRACESTATE: where.tracestate}, Context())


@contextmanager
def below(where: TraceContext | None) -> Iterator[None]:
    """What the body records belongs to the trace of `where`; to none where that is None."""
    token = attach(context_of(where))
    try:
        yield
    finally:
        detach(token)


def position_of(span: trace.Span) -> TraceContext | None:
    """What records caused under `span` carry; None where there is no trace."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, trace.set_span_in_context(span, Context()))
    parent = carrier.get(TRACEPARENT)
    return None if parent is None else TraceContext(parent, carrier.get(TRACESTATE, ""))


class TraceLinks:
    """The recorded traces of one batch's records, up to `MOST_LINKS` of them."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, TraceContext] | None = None  # most batches have none

    def add(self, where: TraceContext) -> None:
        """Note the trace of one record; the first position in each trace counts."""
        found = self._found
        if found is None:
            if where.sampled:
                self._found = {where.trace_id: where}
        elif len(found) < MOST_LINKS and where.sampled:
            found.setdefault(where.trace_id, where)

    def span(
        self, process: str, started_ns: int, *, group: str, records: int, more: Mapping[str, AttributeValue]
    ) -> None:
        """Record that the batch is done now, if any of its traces is recorded.

        A batch of one trace is part of that trace. One of several is a trace of its own, which links to them.

        Args:
            process: what it was done by, such as a stage.
            started_ns: since the epoch.
            group: of the consumers.
            records: how many the batch had.
            more: attributes.
        """
        if not self._found:
            return
        contexts = [context_of(where) for where in self._found.values()]
        alone = len(contexts) == 1
        _tracer.start_span(
            f"process {process}",
            context=contexts[0] if alone else Context(),
            kind=trace.SpanKind.CONSUMER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.batch.message_count": records,
                "messaging.consumer.group.name": group,
                **more,
            },
            links=None if alone else [_link_to(context) for context in contexts],
            start_time=started_ns,
        ).end()


def _link_to(context: Context) -> trace.Link:
    return trace.Link(trace.get_current_span(context).get_span_context())
