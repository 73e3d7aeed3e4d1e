"""What the author of a stage sees: rows, events, timers, and one pure function from them to a decision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from penstock_schemas.records import Record
from penstock_schemas.topics import Topic
from penstock_schemas.traces import TraceContext


class Row(msgspec.Struct, frozen=True):
    """Base of every row type. Rows are immutable and small: a change writes the whole row.

    A stage with several row types gives each its own `tag`; lists are rows with computed keys, never
    growing values.
    """


R = TypeVar("R", bound=Row)


class Event(msgspec.Struct, frozen=True):
    """One record of an input, with its Kafka coordinates."""

    record: Record
    topic: str
    partition: int
    offset: int
    timestamp: int
    """Microseconds; Kafka's own (LogAppendTime), so when it was received."""
    trace: TraceContext | None = None
    """The trace it came with; keep it in a row where a later event or timer goes on with the work."""


class TimerDue(msgspec.Struct, frozen=True):
    """A timer that has fallen due and is gone from the table."""

    name: str
    due: int
    """Microseconds."""


class Rows(Protocol):
    """Point reads within the task's partition; they see what earlier events of the same batch put."""

    def get(self, key: str, row_type: type[R]) -> R | None:
        """The row under `key`, None where there is none.

        Raises:
            TypeError: the row there is of another type.
        """
        ...


class Output(msgspec.Struct, frozen=True):
    """A record to write. The kit stamps `event_id` and `occurred_at` and computes the partition."""

    topic: Topic
    record: Record
    trace: TraceContext | msgspec.UnsetType | None = msgspec.UNSET
    """The trace it belongs to, None for no trace; left out, that of the event that causes it. Timers have none."""


class Timer(msgspec.Struct, frozen=True):
    """Sets, moves or cancels the timer `name`; there is one per name and partition."""

    name: str
    due: int | None
    """Microseconds; None cancels."""
    after_grace: bool = False
    """Do not fire before this process has owned the partition for `Stage.grace_s` on its monotonic clock."""


@dataclass(slots=True)
class Decision:
    """What one event or timer leads to. All of it becomes visible at once, or none of it."""

    puts: dict[str, Row] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)
    """Applied after `puts`."""
    outputs: list[Output] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)


Decide = Callable[[Rows, Event | TimerDue, int], Decision]
"""Pure: (rows, event or timer, now in microseconds) → decision. An exception makes the event a dead letter."""

Prepare = Callable[[Record], Awaitable[Record]]
"""I/O on a record before its decision and outside the transaction. Idempotent, because a crash repeats it; must
not change the routing key. `Unreachable` is retried with back-off, any other error makes a dead letter."""


PrepareWithRows = Callable[[Record, Rows], Awaitable[Record]]
"""As `Prepare`, for a record that the stage wrote to itself and whose I/O is about its own rows.

It sees the rows as of the latest commit, so at least those put by the decision that wrote the record; other
records of the same batch are not decided yet. Use rows that never change, and let the decision check that they
still count.
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's declaration; its inputs share one partition count, and partition n of all is one task."""

    name: str
    inputs: tuple[Topic, ...]
    """One or two."""
    outputs: tuple[Topic, ...]
    """Every topic `decide` may write to."""
    row_types: tuple[type[Row], ...]
    decide: Decide
    grace_s: float = 0.0
    """See `Timer.after_grace`."""
    prepare: Mapping[type[Record], Prepare] = field(default_factory=dict)
    """By record type; most need none."""
    prepare_with_rows: Mapping[type[Record], PrepareWithRows] = field(default_factory=dict)
    """By record type, none of which is in `prepare`."""

    def __post_init__(self) -> None:
        if not 1 <= len({topic.name for topic in self.inputs}) == len(self.inputs) <= 2:
            names = ", ".join(topic.name for topic in self.inputs) or "none"
            raise ValueError(f"stage {self.name} needs one or two different inputs, has: {names}")
