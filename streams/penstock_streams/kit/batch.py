"""What a fold starts from and what comes of it: one transaction, encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from penstock_schemas.records import Record
from penstock_services.tracing import TraceLinks
from penstock_streams.kit.api import Stage
from penstock_streams.kit.rows import TimerRow

Headers = Sequence[tuple[str, bytes | None]]


class Message(msgspec.Struct):
    """Bytes for one partition of one topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    def size(self) -> int:
        """Bytes of key, value and headers, without framing."""
        size = len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += len(name) + len(value or b"") + 16
        return size


@dataclass(slots=True)
class FoldedBatch:
    """Everything one transaction writes, encoded, and what follows once it is committed."""

    messages: dict[tuple[str, int], list[Message]] = field(default_factory=dict)
    """By topic and partition, in order; without the changelog."""
    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    """Rows and timers for the changelog, one per key."""
    timers: dict[str, TimerRow | None] = field(default_factory=dict)
    next_offsets: dict[str, int] = field(default_factory=dict)
    """By input topic, of the inputs that were read."""
    records: int = 0
    timers_fired: int = 0
    dead_letters: int = 0
    forwarded: int = 0
    encoded_bytes: int = 0
    written: dict[type[Record], int] = field(default_factory=dict)
    """Records by type; without dead letters and what was forwarded."""
    letters: dict[str, int] = field(default_factory=dict)
    """Dead letters by error code."""
    traces: TraceLinks = field(default_factory=TraceLinks)
    """Of the records that were folded."""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the fold knows about its task and the cluster."""

    stage: Stage
    partition: int
    changelog: str
    partitions: Mapping[str, int]
    """By topic."""
    record_bytes: Mapping[str, int]
    """Limits by topic; see `topology.Topology`."""
