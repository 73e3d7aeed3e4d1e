"""Which records a follower of one execution shows, and when it has seen everything. Pure.

Records come from two topics between which there is no order, and progress may come twice (a worker resends what
was not acknowledged). An execution is over for its follower once both its terminal event and the last progress
record that event names have been seen.
"""

from __future__ import annotations

from penstock_schemas import records as r

Terminal = (
    r.ExecutionCompleted | r.ExecutionFailed | r.ExecutionTimedOut | r.ExecutionCancelled | r.ExecutionRejected
)


class Followed:
    """What has been seen of one execution so far.

    Args:
        execution_id: the execution; records of others are ignored.
        request_event_id: identity of the caller's own request. Where that request is refused because its id
            was already used with another body, this ends the following too.
    """

    def __init__(self, execution_id: str, request_event_id: str | None = None) -> None:
        self.execution_id = execution_id
        self.terminal: Terminal | None = None
        self.refused: r.RequestRefused | None = None
        self.seen_any = False
        self._request_event_id = request_event_id
        self._progress = (0, 0)
        """(epoch, seq) of the newest progress; an epoch's start counts as its seq 0."""

    def accept(self, record: r.Record) -> bool:
        """Take in `record`; True where it is news that a follower should see."""
        if getattr(record, "execution_id", None) != self.execution_id:
            return False
        if isinstance(record, r.ProgressRecord):
            position = (record.epoch, record.seq)
            if position <= self._progress:  # a repeat, or of an attempt that a later one has closed
                return False
            self._progress = position
        elif isinstance(record, r.AttemptStarted):
            self._progress = max(self._progress, (record.epoch, 0))
        elif isinstance(record, Terminal):
            self.terminal = record
        elif isinstance(record, r.RequestRefused) and record.refused_event_id == self._request_event_id:
            self.refused = record
        self.seen_any = True
        return True

    @property
    def awaits_only_progress(self) -> bool:
        """The execution has ended, and progress that its terminal event names is still missing."""
        return self.terminal is not None and not self.ended

    @property
    def ended(self) -> bool:
        """Nothing more is to come."""
        if self.refused is not None:
            return True
        if self.terminal is None:
            return False
        if isinstance(self.terminal, r.ExecutionRejected) or self.terminal.last_seq == 0:
            return True
        return self._progress >= (self.terminal.epoch, self.terminal.last_seq)
