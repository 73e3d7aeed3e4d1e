"""In which order what ClickHouse loaded of two topics is told."""

from __future__ import annotations

from penstock.history import _in_order
from penstock.tailing import Placed
from penstock_schemas import records as r
from tests.sdk.script import Execution


def at(record: r.Record, kafka_ms: int):
    return {"kafka_timestamp": kafka_ms}, Placed(record, "a topic", 0, kafka_ms)


def test_progress_of_the_same_millisecond_comes_after_the_start_and_before_the_end():
    run = Execution("acme", "a request")
    started, first, second, completed = run.started(), run.progress(1), run.progress(2), run.completed(last_seq=2)
    ordered = _in_order([at(started, 5), at(completed, 5)], [at(first, 5), at(second, 5)])
    assert [placed.record for placed in ordered] == [started, first, second, completed]


def test_what_the_broker_had_later_comes_later():
    run = Execution("acme", "a request")
    completed, late = run.completed(last_seq=1), run.progress(1)
    assert [x.record for x in _in_order([at(completed, 5)], [at(late, 6)])] == [completed, late]
