"""Stalled consumption: lag and no progress for too long, and nothing else."""

from __future__ import annotations

from prometheus_client import generate_latest

from penstock_services.consuming import StallWatch, Standing, lag_shown


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def at(position: int, behind: int, *, paused: bool = False, partition: int = 0) -> Standing:
    return Standing("executions", "commands", partition, position, behind, paused)


def watch(*seen: tuple[float, Standing]) -> list[bool]:
    """Whether the partition stalls, each time it is looked at after so many more seconds."""
    clock = Clock()
    watching, found = StallWatch(10, clock), []
    for seconds, standing in seen:
        clock.now_s += seconds
        found.append(watching.stalled([standing]) is not None)
    return found


def test_lag_without_progress_for_longer_than_the_limit_is_a_stall_until_it_moves() -> None:
    seen = (0, at(5, 3)), (10, at(5, 3)), (1, at(5, 4)), (1, at(6, 3)), (10, at(6, 3)), (1, at(6, 3))
    assert watch(*seen) == [False, False, True, False, False, True]


def test_no_lag_is_no_stall_however_long() -> None:
    assert watch((0, at(5, 0)), (1_000, at(5, 0)), (1, at(5, 1)), (10, at(5, 1))) == [False] * 4


def test_lag_that_was_gone_in_between_begins_anew() -> None:
    assert watch((0, at(5, 1)), (9, at(5, 0)), (9, at(5, 1)), (9, at(5, 1))) == [False] * 4


def test_a_slow_consumer_that_moves_is_no_stall() -> None:
    assert not any(watch(*((60, at(number, 1_000)) for number in range(20))))


def test_a_pause_on_purpose_is_no_stall_and_its_time_does_not_count() -> None:
    assert watch((0, at(5, 1)), (20, at(5, 1, paused=True)), (20, at(5, 1)), (9, at(5, 1))) == [False] * 4


def test_a_partition_that_went_to_another_process_is_forgotten() -> None:
    clock = Clock()
    watching = StallWatch(10, clock)
    watching.stalled([at(5, 1)])
    clock.now_s += 20
    assert watching.stalled([]) is None
    assert watching.stalled([at(5, 1)]) is None


def test_the_reason_names_each_partition_where_it_stands_and_how_far_behind() -> None:
    clock = Clock()
    watching = StallWatch(10, clock)
    for _ in range(2):
        moving = at(int(clock.now_s), 1, partition=1)
        reason = watching.stalled([at(5, 1), moving, at(7, 2, partition=2)])
        clock.now_s += 20
    assert reason == (
        "consumption stalls: executions commands/0 stands at 5 for 20 s, 1 behind; "
        "executions commands/2 stands at 7 for 20 s, 2 behind"
    )


def test_the_lag_is_shown_for_as_long_as_its_process_reads() -> None:
    line = b'penstock_consumer_lag{consumer="executions",partition="3",topic="commands"} 17.0'
    with lag_shown(lambda: [at(5, 17, partition=3)]):
        assert line in generate_latest()
    assert line not in generate_latest()
