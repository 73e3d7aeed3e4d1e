"""Where a task begins to read, and when it refuses to begin at all."""

from __future__ import annotations

import pytest

from penstock_streams.kit.errors import PartitionCountMismatch, PositionLost, PositionOutOfRange
from penstock_streams.kit.positions import check_range, starting_position
from penstock_streams.kit.rows import Position

BEGIN = {"requests": 5, "commands": 0}
STORED = Position(4, {"requests": 50, "commands": 7}, 3)


def start(
    stored: Position | None, *, empty: bool = False, committed: dict[str, int] | None = None, partitions: int = 4
) -> Position:
    return starting_position(
        "task", stored, table_is_empty=empty, committed=committed or {}, begin=BEGIN, partitions=partitions
    )


def test_a_task_that_never_ran_begins_at_the_log_start() -> None:
    assert start(None, empty=True) == Position(4, BEGIN, 0)


def test_a_position_row_is_believed_whatever_the_group_says() -> None:
    assert start(STORED, committed={"requests": 9, "commands": 9}) == STORED


def test_an_input_added_to_a_stage_begins_at_its_log_start() -> None:
    stored = Position(4, {"requests": 50}, 3)
    assert start(stored) == Position(4, {"requests": 50, "commands": 0}, 3)


def test_rows_without_a_position_stop_the_task() -> None:
    with pytest.raises(PositionLost, match="rows but no input position"):
        start(None)


def test_committed_offsets_without_a_table_stop_the_task() -> None:
    with pytest.raises(PositionLost, match="changelog was deleted"):
        start(None, empty=True, committed={"requests": 9})


def test_a_changed_partition_count_stops_the_task() -> None:
    with pytest.raises(PartitionCountMismatch, match="have 6 partitions, had 4"):
        start(STORED, partitions=6)


def test_input_that_retention_ate_stops_the_task() -> None:
    with pytest.raises(PositionOutOfRange, match="retention ate unread input: requests begins at 60.*10 records"):
        check_range("task", STORED, {"requests": 60, "commands": 0}, {"requests": 70, "commands": 7})


def test_a_replaced_input_stops_the_task() -> None:
    with pytest.raises(PositionOutOfRange, match="replaced"):
        check_range("task", STORED, BEGIN, {"requests": 49, "commands": 7})


def test_a_position_at_either_edge_is_fine() -> None:
    check_range("task", STORED, {"requests": 50, "commands": 0}, {"requests": 50, "commands": 7})
