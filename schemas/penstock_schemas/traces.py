"""W3C trace context in Kafka headers: which trace a record belongs to, and below which span of it.

A record carries the context of what caused it, so one trace goes from the producer's span through every stage to
the worker and on. Records without the headers belong to no trace, which costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
MAX_TRACESTATE_CHARS = 512
"""What the specification asks everyone to pass on; a longer one is dropped, because it lies in tables, too."""

_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(rb"[ -~]{1,%d}" % MAX_TRACESTATE_CHARS)


class TraceContext(NamedTuple):
    """The position in a trace, as W3C Trace Context writes it (https://www.w3.org/TR/trace-context/)."""

    traceparent: str
    """`00-<trace id>-<span id>-<flags>`."""
    tracestate: str = ""
    """What vendors added; passed on as it is."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def sampled(self) -> bool:
        """Whether the trace is being recorded."""
        return self.traceparent[54] in "13579bdf"

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """As Kafka headers."""
        parent = (TRACEPARENT, self.traceparent.encode())
        return (parent, (TRACESTATE, self.tracestate.encode())) if self.tracestate else (parent,)


def trace_of(headers: Iterable[tuple[str, bytes | None]]) -> TraceContext | None:
    """The context in a record's headers; None where there is none, or none that can be used."""
    parent: bytes | None = None
    state: bytes | None = None
    for name, value in headers:
        if name == TRACEPARENT:
            parent = value
        elif name == TRACESTATE:
            state = value
    if parent is None or _PARENT.fullmatch(parent) is None:
        return None
    return TraceContext(parent.decode(), state.decode() if state and _STATE.fullmatch(state) else "")
