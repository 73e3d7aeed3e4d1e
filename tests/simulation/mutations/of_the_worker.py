"""Guards of the worker's protocol."""

from __future__ import annotations

from typing import Any

from penstock_consumers.worker.leases import LeaseKey, LeaseTable
from tests.simulation.mutations.base import Mutation
from tests.simulation.run import Run
from tests.simulation.workers import MARGIN_S, WorkerProcess

_hear = WorkerProcess.hear


def _from_grant(self: WorkerProcess, key: LeaseKey) -> float:
    return self.boottime_s()


def _from_confirmation(self: WorkerProcess, answer: Any) -> None:
    held = self.leases._held
    before = {key: each.deadline_s for key, each in held.items()}
    _hear(self, answer)
    for key, each in held.items():
        if before.get(key, each.deadline_s) != each.deadline_s:
            each.deadline_s = self.boottime_s() + each.hold_s - MARGIN_S
            if key in self.running:
                self.running[key].extend(each.deadline_s)


async def _no_flush(self: Run) -> None:
    pass


STAGGERED = {"kinds": ("stagger",), "hit": 0.002, "tempted": 50, "strikes_every_s": 60.0}

WORKER = {
    "deadline-from-grant": Mutation(
        "a lease's deadline counts from when the grant was heard",
        ((WorkerProcess, "deadline_counts_from", _from_grant),),
        STAGGERED,
    ),
    "deadline-from-confirmation": Mutation(
        "a lease's deadline counts from when the confirmation was heard",
        ((WorkerProcess, "hear", _from_confirmation),),
        STAGGERED,
    ),
    "granted-before": Mutation(
        "a worker claims an attempt again that it was granted before",
        ((WorkerProcess, "had", lambda self, key: False),),
        {"kinds": ("stop",), "hit": 0.01, "tempted": 5, "workers": 1, "partitions": 1, "streams": 1},
    ),
    "no-deadline": Mutation(
        "a worker believes in its leases until it is told otherwise",
        ((LeaseTable, "grant", lambda self, key, partition, hold_s, sent_s: 1e9),),
    ),
    "finish-before-usage": Mutation(
        "the end of an attempt is reported before its usage is acknowledged", ((Run, "flush", _no_flush),)
    ),
}
