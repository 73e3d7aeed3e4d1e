"""Which months were closed when, partition by partition, by reading of the audit's own. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from penstock_schemas.records import ClosePeriod, PeriodClosed
from penstock_services.audit.calendar import EPOCH
from penstock_services.topic_reader import Read


class Closings:
    """The closed months of an audit.

    Args:
        commands: every copy of every ClosePeriod.
        answers: PeriodClosed, in order within a partition.
    """

    def __init__(self, commands: Iterable[ClosePeriod], answers: Iterable[Read]) -> None:
        self.wrong: list[PeriodClosed] = []
        """Months that were closed as nobody asked for it, or before they were over."""
        asked = {(command.event_id, command.period): command.occurred_at for command in commands}
        self._ends: dict[int, list[tuple[int, datetime]]] = defaultdict(list)
        for read in answers:
            record = read.record
            assert isinstance(record, PeriodClosed)
            asked_at = asked.get((record.closed_by, record.period))
            end = _end(record.period)
            if asked_at is None or EPOCH + timedelta(microseconds=asked_at) < end:
                self.wrong.append(record)
            self._ends[read.partition].append((read.offset, end))

    def open_since(self, partition: int, before: int) -> datetime:
        """Start of the first open month, as `partition` knew it before the offset `before`."""
        ends = (end for offset, end in self._ends.get(partition, ()) if offset < before)
        return max(ends, default=EPOCH)


def _end(period: str) -> datetime:
    in_next_month = datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC) + timedelta(days=31)
    return in_next_month.replace(day=1)
