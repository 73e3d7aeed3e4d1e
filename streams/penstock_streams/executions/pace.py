"""How long a queue's hints lie before they are read; one that only waits its turn is not repeated.

Repeating into a backlog makes it longer: each repetition is a hint, a claim that holds a free slot until it is
denied, and a refusal. With 800 runs waiting for 32 slots that was half of all the work, and made the backlog last.
"""

from __future__ import annotations

from penstock_streams.executions import model as m
from penstock_streams.kit import Decision, Rows

WEIGHT = 8
"""One claim in this many counts: a burst of quick ones halves the estimate within six."""
PATIENCE = 2
"""A hint is overdue once it has lain for this many times as long as others do."""


def observe(rows: Rows, queue: str, waited_us: int, decision: Decision) -> None:
    """Count how long one first hint lay, in microseconds."""
    key = m.pace_key(queue)
    before_us = _pace_us(rows, queue)
    decision.puts[key] = m.Pace(before_us + (waited_us - before_us) // WEIGHT)


def hint_lies_us(rows: Rows, queue: str) -> int:
    """How long a hint of this queue may lie now without being overdue, in microseconds."""
    return PATIENCE * _pace_us(rows, queue)


def _pace_us(rows: Rows, queue: str) -> int:
    pace = rows.get(m.pace_key(queue), m.Pace)
    return pace.waited_us if pace else 0
