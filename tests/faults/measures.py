"""Times, read from what Kafka recorded and from when the faults struck. Pure. All in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from penstock_schemas import records as r
from penstock_schemas.records.executions import TerminalEvent
from penstock_services.topic_reader import Read
from tests.faults.world import Mark

ADMITTED_WITHIN_S = 15.0
"""Requests this long after a blow to a streams process show how long it held admission up."""
WENT_ON_WITHIN_S = 30.0
"""So long after a blow to a broker standing still counts as its doing."""
BROKER_KILLED = "broker of three killed"
"""A mark."""


@dataclass
class Measures:
    """One list entry for each case that was seen."""

    recovery_s: list[float] = field(default_factory=list)
    """From the last blow of a round until everything submitted before it had ended."""
    takeover_s: list[float] = field(default_factory=list)
    """From the SIGKILL of a worker to the next attempt of what it was running, no other one killed in between."""
    crowded_takeover_s: list[float] = field(default_factory=list)
    """The same where another worker was killed in between, too."""
    hand_back_s: list[float] = field(default_factory=list)
    """From the SIGTERM of a worker until executions had the attempt back."""
    handover_s: list[float] = field(default_factory=list)
    """From then to the start of the next attempt."""
    failover_s: list[float] = field(default_factory=list)
    """The longest wait of a request for its admission after the SIGKILL of a streams process."""
    standstill_s: list[float] = field(default_factory=list)
    """The longest time in which no execution ended after the SIGKILL of a broker of three."""

    def add(self, other: Measures) -> None:
        for name, values in vars(other).items():
            getattr(self, name).extend(values)


def measure(reads: Iterable[Read], marks: Sequence[Mark], submitted_s: Mapping[str, float]) -> Measures:
    """Measure one round.

    Args:
        reads: the records of its load, from Kafka.
        marks: what was done, in order.
        submitted_s: when each execution's request was acknowledged.
    """
    measures = Measures()
    ended_s: dict[str, float] = {}
    decided_s: dict[str, float] = {}
    started_s: dict[tuple[str, int], float] = {}
    lost: list[tuple[r.AttemptLost, float]] = []
    for read in reads:
        at_s = read.timestamp / 1e6
        match read.record:
            case TerminalEvent() as ending:
                ended_s.setdefault(ending.execution_id, at_s)
            case r.ExecutionAdmitted() | r.ExecutionQueued() as decided:
                decided_s.setdefault(decided.execution_id, at_s)
            case r.AttemptStarted() as started:
                started_s.setdefault((started.execution_id, started.epoch), at_s)
            case r.AttemptLost() as attempt:
                lost.append((attempt, at_s))
    if marks:
        measures.recovery_s.append(_recovery_s(marks[-1].at_s, submitted_s, ended_s))
    measures.failover_s += _failovers_s(marks, submitted_s, decided_s)
    measures.standstill_s += _standstills_s(marks, ended_s.values())
    blows = {(mark.what, mark.pid): mark.at_s for mark in marks}
    workers_killed_s = [mark.at_s for mark in marks if mark.what == "killed" and mark.name.startswith("worker")]
    for attempt, at_s in lost:
        next_s = started_s.get((attempt.execution_id, attempt.epoch + 1))
        pid = int(attempt.worker_id.split(":")[1])
        killed_s, terminated_s = blows.get(("killed", pid)), blows.get(("terminated", pid))
        if next_s and killed_s and attempt.reason == "lease_expired":
            alone = not any(killed_s < other_s < next_s for other_s in workers_killed_s)
            (measures.takeover_s if alone else measures.crowded_takeover_s).append(next_s - killed_s)
        if next_s and terminated_s and attempt.reason == "handed_back":
            measures.hand_back_s.append(at_s - terminated_s)
            measures.handover_s.append(next_s - at_s)
    return measures


def _failovers_s(
    marks: Iterable[Mark], submitted_s: Mapping[str, float], decided_s: Mapping[str, float]
) -> list[float]:
    """One for each SIGKILL of a streams process."""
    found = []
    for mark in marks:
        if mark.what == "killed" and mark.name.startswith("streams"):
            waits = [
                decided_s[execution] - at_s
                for execution, at_s in submitted_s.items()
                if mark.at_s <= at_s < mark.at_s + ADMITTED_WITHIN_S and execution in decided_s
            ]
            found.append(max(waits, default=0.0))
    return found


def _standstills_s(marks: Iterable[Mark], ended_s: Iterable[float]) -> list[float]:
    """One for each SIGKILL of a broker of three."""
    found = []
    for mark in marks:
        if mark.what == BROKER_KILLED:
            until_s = mark.at_s + WENT_ON_WITHIN_S
            ends = sorted(at_s for at_s in ended_s if mark.at_s <= at_s < until_s)
            found.append(max((b - a for a, b in pairwise([mark.at_s, *ends])), default=WENT_ON_WITHIN_S))
    return found


def _recovery_s(last_blow_s: float, submitted_s: Mapping[str, float], ended_s: Mapping[str, float]) -> float:
    before = [execution for execution, at_s in submitted_s.items() if at_s <= last_blow_s]
    ends = [ended_s[execution] for execution in before if execution in ended_s]
    return max(0.0, max(ends, default=0.0) - last_blow_s)
