"""W3C trace context in Kafka headers: what is taken, what is passed on, and what is not."""

from __future__ import annotations

import pytest

from penstock_schemas.traces import TraceContext, trace_of

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_context_goes_from_headers_to_headers_unchanged() -> None:
    headers = (("traceparent", PARENT), ("tracestate", b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"))
    found = trace_of([("other", b"\xff"), *headers])
    assert found is not None
    assert found.headers() == headers
    assert (found.trace_id, found.sampled) == ("4bf92f3577b34da6a3ce929d0e0e4736", True)


def test_the_last_flag_says_whether_it_is_recorded() -> None:
    found = [trace_of([("traceparent", PARENT[:-2] + flags)]) for flags in (b"00", b"01", b"02", b"03")]
    assert [each.sampled for each in found if each] == [False, True, False, True]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        PARENT[:-1],
        PARENT + b"0",
        PARENT.upper(),
        b"ff" + PARENT[2:],
        b"00-" + b"0" * 32 + PARENT[35:],
        PARENT[:36] + b"0" * 16 + b"-01",
        b"\xff" * 55,
        PARENT[:-1] + b"\n",
    ],
)
def test_a_context_that_cannot_be_used_is_none(value: bytes | None) -> None:
    assert trace_of([("traceparent", value), ("tracestate", b"a=b")]) is None


@pytest.mark.parametrize("state", [b"a" * 513, b"a=\xff", b"a=b\x00", None])
def test_a_state_that_cannot_be_used_is_left_out(state: bytes | None) -> None:
    assert trace_of([("traceparent", PARENT), ("tracestate", state)]) == TraceContext(PARENT.decode())
