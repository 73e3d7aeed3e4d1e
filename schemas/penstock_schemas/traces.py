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

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_PARENT = 55


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
        return bool(int(self.traceparent[53:55], 16) & 1)

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """As Kafka headers."""
        parent = (TRACEPARENT, self.traceparent.encode())
        return (parent, (TRACESTATE, self.tracestate.encode())) if self.tracestate else (parent,)


def trace_of(headers: Iterable[tuple[str, bytes | None]]) -> TraceContext | None:
    """The context in a record's headers; None where there is none, or none that can be used."""
    parent, state = "", ""
    for name, value in headers:
        if name == TRACEPARENT:
            parent = _ascii(value, _LONGEST_PARENT)
        elif name == TRACESTATE:
            state = _ascii(value, MAX_TRACESTATE_CHARS)
    return TraceContext(parent, state) if _PARENT.fullmatch(parent) else None


def _ascii(value: bytes | None, longest: int) -> str:
    """The header's text; empty where it is too long or not printable ASCII."""
    if value is None or len(value) > longest or not value.isascii():
        return ""
    text = value.decode()
    return text if text.isprintable() else ""
