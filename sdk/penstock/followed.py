"""Which records a follower of one execution shows, and when it has seen everything. Pure.

Records come from two topics between which there is no order, and progress may come twice (a worker resends what
was not acknowledged). An execution is over for its follower once both its terminal event and the last progress
record that event names have been seen. The progress of an attempt is numbered from 1 without gaps, so what is
missing is known, and told.
"""

from __future__ import annotations

from typing import TypeAlias

from penstock.models import Cursor, ProgressGap
from penstock_schemas import records as r

Terminal = r.ExecutionCompleted | r.ExecutionFailed | r.ExecutionTimedOut | r.ExecutionRejected
Item: TypeAlias = r.Record | ProgressGap
"""What a follower sees."""


class Followed:
    """What has been seen of one execution so far.

    Args:
        execution_id: the execution; records of others are ignored.
        request_event_id: identity of the caller's own request. Where that request is refused because its id
            was already used with another body, this ends the following too.
        seen: what has been seen before.
    """

    def __init__(self, execution_id: str, request_event_id: str | None = None, seen: Cursor | None = None) -> None:
        seen = seen or Cursor()
        self.execution_id = execution_id
        self.terminal: Terminal | None = None
        self.refused: r.RequestRefused | None = None
        self.seen_any = False
        self.progress = (seen.epoch, seen.seq)
        """(epoch, seq) of the newest progress."""
        self.attempt = seen.attempt
        self.attempt_at_ms = seen.attempt_at_ms
        self.last_seq = seen.last_seq
        self._request_event_id = request_event_id

    def accept(self, record: r.Record, at_ms: int | None = None) -> tuple[Item, ...]:
        """Take in `record`; what a follower should see now: nothing, the record, or a gap and the record.

        Args:
            record: of whichever topic came first.
            at_ms: when Kafka had it: progress of an attempt counts up to when the next attempt started, although
                it may be read after that. None for after everything that was seen.
        """
        if getattr(record, "execution_id", None) != self.execution_id:
            return ()
        missing: tuple[ProgressGap, ...] = ()
        if isinstance(record, r.ProgressRecord):
            position = (record.epoch, record.seq)
            closed = record.epoch < self.attempt and (at_ms is None or at_ms > self.attempt_at_ms)
            if closed or position <= self.progress:  # or a repeat
                return ()
            if self._last is not None and position > self._last:  # written after the end
                return ()
            missing = self._missing_before(position)
            self.progress = position
        elif isinstance(record, r.AttemptStarted):
            if record.epoch > self.attempt:
                self.attempt, self.attempt_at_ms = record.epoch, at_ms or 0
        elif isinstance(record, Terminal):
            self.terminal = record
            self.last_seq = 0
            if not isinstance(record, r.ExecutionRejected):
                self.attempt, self.last_seq = record.epoch, record.last_seq
        elif isinstance(record, r.RequestRefused) and record.refused_event_id == self._request_event_id:
            self.refused = record
        self.seen_any = True
        return (*missing, record)

    def give_up(self) -> tuple[Item, ...]:
        """No more progress will come: what the terminal event named and was not seen is a gap."""
        if self._last is None or self.ended:
            return ()
        epoch, last_seq = self._last
        missing = self._missing_before((epoch, last_seq + 1))
        self.progress = self._last
        return missing

    @property
    def awaits_only_progress(self) -> bool:
        """The execution has ended, and progress that its terminal event names is still missing."""
        return self._last is not None and not self.ended

    @property
    def ended(self) -> bool:
        """Nothing more is to come."""
        if self.refused is not None:
            return True
        return self._last is not None and (self._last[1] <= 0 or self.progress >= self._last)

    @property
    def _last(self) -> tuple[int, int] | None:
        """The last progress there is; None before the terminal event."""
        return None if self.last_seq is None else (self.attempt, self.last_seq)

    def _missing_before(self, position: tuple[int, int]) -> tuple[ProgressGap, ...]:
        epoch, seq = position
        first = self.progress[1] + 1 if self.progress[0] == epoch else 1
        if first >= seq:
            return ()
        return (ProgressGap(execution_id=self.execution_id, epoch=epoch, from_seq=first, to_seq=seq - 1),)
