"""Where a task begins to read: from its position row, and from nothing else once it has one."""

from __future__ import annotations

from collections.abc import Mapping

from penstock_streams.kit.errors import PartitionCountMismatch, PositionLost, PositionOutOfRange
from penstock_streams.kit.rows import Position

Offsets = Mapping[str, int]
"""By input topic."""


def starting_position(
    task: str,
    stored: Position | None,
    *,
    table_is_empty: bool,
    committed: Offsets,
    begin: Offsets,
    partitions: int,
) -> Position:
    """The position to start from; a task that never ran starts at the log start of its inputs.

    Args:
        task: for messages.
        stored: the position row, if the table has one.
        committed: the group's offsets. They say that the task ran before, never where it stands.
        begin: log starts of every input.
        partitions: of the inputs, now.

    Raises:
        PositionLost: the task ran before, but its table or its position row is gone.
        PartitionCountMismatch: the inputs had another partition count when the table was written.
    """
    if stored is None:
        if not table_is_empty:
            raise PositionLost(f"{task}: the table has rows but no input position; restore its changelog")
        _refuse_rerun(task, committed)
        return Position(partitions, dict(begin), 0)
    if stored.partitions != partitions:
        raise PartitionCountMismatch(
            f"{task}: its inputs have {partitions} partitions, had {stored.partitions} when the table was written"
        )
    added = {topic: offset for topic, offset in begin.items() if topic not in stored.next_offsets}
    _refuse_rerun(task, {topic: offset for topic, offset in committed.items() if topic in added})
    return Position(partitions, {**stored.next_offsets, **added}, stored.timers_fired)


def check_range(task: str, position: Position, begin: Offsets, end: Offsets) -> None:
    """Every input can be read from its position.

    Raises:
        PositionOutOfRange: the next record is gone, or the topic is another one than it was.
    """
    for topic, start in begin.items():
        at = position.next_offsets[topic]
        if at < start:
            raise PositionOutOfRange(
                f"{task}: retention ate unread input: {topic} begins at {start}, next to read is {at}; "
                f"{start - at} records are lost"
            )
        if at > end[topic]:
            raise PositionOutOfRange(
                f"{task}: {topic} ends at {end[topic]}, but the table has read up to {at}: the topic was replaced"
            )


def _refuse_rerun(task: str, committed: Offsets) -> None:
    if committed:
        raise PositionLost(
            f"{task}: the group has read {dict(committed)}, but the table holds no position: its changelog was "
            "deleted. Restore it, or delete the group's offsets to run everything again from the log start"
        )
