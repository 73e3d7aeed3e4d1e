"""Where spans go, and what a batch of many traces becomes."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from penstock.errors import InvalidInput
from penstock_schemas.traces import TraceContext
from penstock_services.tracing import MOST_LINKS, TraceLinks, context_of, position_of, tracing
from tests.fixtures.tracing import Spans

OTEL = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def position(number: int, span: int = 1, flags: str = "01") -> TraceContext:
    return TraceContext(f"00-{number:032x}-{span:016x}-{flags}")


def batch(*positions: TraceContext) -> None:
    links = TraceLinks()
    for each in positions:
        links.add(each)
    links.span("tests", 1_000, group="g", records=len(positions), more={"more": "1"})


def test_a_batch_of_one_trace_is_a_span_of_it(spans: Spans) -> None:
    batch(position(5, span=2), position(5, span=3))
    span = spans.one("process tests")
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id, span.links) == (5, 2, ())
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.batch.message_count": 2,
        "messaging.consumer.group.name": "g",
        "more": "1",
    }


def test_a_batch_of_several_traces_links_to_a_bounded_number_of_them(spans: Spans) -> None:
    batch(*(position(number) for number in range(1, 1_000)))
    span = spans.one("process tests")
    assert span.parent is None
    assert [link.context.trace_id for link in span.links] == list(range(1, MOST_LINKS + 1))


def test_a_batch_that_nobody_records_has_no_span(spans: Spans) -> None:
    batch()
    batch(position(5, flags="00"))
    assert not spans.named("process tests")


def test_without_a_span_there_is_nothing_to_carry() -> None:
    assert position_of(trace.INVALID_SPAN) is None
    assert position_of(trace.get_current_span(context_of(position(5)))) == position(5)


def test_nothing_is_exported_unless_a_variable_says_where_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OTEL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trace, "set_tracer_provider", lambda provider: pytest.fail("a provider was set"))
    with tracing("tests"):
        pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with tracing("tests"):
        pass


def test_an_exporter_or_protocol_that_is_not_here_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(InvalidInput, match="OTEL_TRACES_EXPORTER 'zipkin': one of otlp"), tracing("tests"):
        pass
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(InvalidInput, match="OTEL_EXPORTER_OTLP_PROTOCOL 'grpc': only"), tracing("tests"):
        pass


ONE_SPAN = """
from penstock_schemas.traces import TraceContext
from penstock_services.tracing import TraceLinks, tracing
with tracing("tests"):
    links = TraceLinks()
    links.add(TraceContext("00-" + "5" * 32 + "-" + "6" * 16 + "-01"))
    links.span("batch", 1, group="g", records=1, more={})
"""


async def test_a_process_sends_its_spans_to_the_collector_that_the_standard_variable_names() -> None:
    bodies: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/v1/traces", collect)])
    here = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    async with TestServer(app) as server:
        where = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.port}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", ONE_SPAN, env=here | where)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    (resource,) = ExportTraceServiceRequest.FromString(bodies[0]).resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "penstock-tests"
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("process batch", "5" * 32, "6" * 16)
