"""One partition of a stage in memory: rows, timers and what was written, around its real decide function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from penstock_schemas.records import Record
from penstock_schemas.traces import TraceContext
from penstock_streams.kit import Decision, Event, Output, Row, TimerDue

T = TypeVar("T", bound=Record)
NOW = 1_790_000_000_000_000
"""Microseconds; a moment in September 2026."""


class Partition:
    """Folds events as the kit does, one at a time, and fires timers when time is advanced."""

    def __init__(self, decide: Any, now: int = NOW) -> None:
        self.decide = decide
        self.now = now
        self.rows: dict[str, Row] = {}
        self.timers: dict[str, int] = {}
        self.written: list[Record] = []
        self.outputs: list[Output] = []
        self.read = 0
        """The offset of the next event."""

    def get(self, key: str, row_type: type[Any]) -> Any:
        row = self.rows.get(key)
        assert row is None or isinstance(row, row_type), (key, row)
        return row

    def send(
        self,
        record: Record,
        *,
        topic: str = "in",
        received: int | None = None,
        trace: TraceContext | None = None,
    ) -> list[Record]:
        """Fold one event; returns what it made the stage write."""
        stamped = record if record.occurred_at else record.model_copy(update={"occurred_at": self.now})
        event = Event(stamped, topic, 0, self.read, self.now if received is None else received, trace)
        self.read += 1
        return self._apply(self.decide(self, event, self.now))

    def fold(self, event: Event) -> list[Record]:
        """Fold one event with coordinates of its own."""
        return self._apply(self.decide(self, event, self.now))

    def advance(self, microseconds: int) -> list[Record]:
        """Let time pass, firing each timer at its due time."""
        end, written = self.now + microseconds, []
        while due := min(((at, name) for name, at in self.timers.items() if at <= end), default=None):
            at, name = due
            del self.timers[name]
            self.now = max(self.now, at)
            written += self._apply(self.decide(self, TimerDue(name, at), self.now))
        self.now = end
        return written

    def decide_timer(self, name: str) -> list[Record]:
        """Fire one timer, whatever else is due."""
        return self._apply(self.decide(self, TimerDue(name, self.now), self.now))

    def all(self, record_type: type[T]) -> list[T]:
        return [record for record in self.written if isinstance(record, record_type)]

    def _apply(self, decision: Decision) -> list[Record]:
        self.rows.update(decision.puts)
        for key in decision.deletes:
            self.rows.pop(key, None)
        for timer in decision.timers:
            if timer.due is None:
                self.timers.pop(timer.name, None)
            else:
                self.timers[timer.name] = timer.due
        records = [output.record for output in decision.outputs]
        assert all(output.topic.carries(type(output.record)) for output in decision.outputs)
        self.written += records
        self.outputs += decision.outputs
        return records


def kinds(records: list[Record]) -> list[str]:
    """Names of the record types, in order."""
    return [type(record).__name__ for record in records]


def only(records: list[Record], record_type: type[T]) -> T:
    """The one record of that type."""
    found: Iterator[T] = (record for record in records if isinstance(record, record_type))
    record = next(found)
    assert next(found, None) is None
    return record
