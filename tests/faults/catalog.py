"""The faults and the controls, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults import blows, clusters, surroundings
from tests.faults.blows import Inject
from tests.faults.mounts import why_no_disk

Refused = Callable[[Path], str | None]
"""Why this machine does not allow a fault; None where it does. It may try in the folder, which is new."""


def nothing_refuses(folder: Path) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    name: str
    inject: Inject
    times: int
    """Blows in the one round of the CI-sized run; 0 leaves it to the full one."""
    full_rounds: int
    full_times: int
    guard: str
    """What protects against it: see the control of that name."""
    refused: Refused = nothing_refuses
    brokers: int = 1
    """Of the world it strikes."""
    chained: bool = False
    """Whether the load of the CI-sized run has conversations and pipelines; that of the full one always has."""


@dataclass(frozen=True, slots=True)
class Control:
    """A fault with a guard switched off: the same judgement must find violations."""

    guard: str
    inject: Inject
    finds: str
    """The kind of violation it must find: a field of `Verdict`."""
    streams: int = 2
    """Streams processes; with one, no other can stand in for the guard."""
    refused: Refused = nothing_refuses
    short: bool = True
    """Whether the CI-sized run has it."""


AWAY_FOR_A_MINUTE = partial(blows.take_clickhouse_away, away_s=60.0)
OFFSETS_LAST = "insert before commit"
BOTH = "worker's deadline and epoch check"
"""Either alone keeps the results of a stopped worker away."""
BROKERS_TIME = "brokers' time"
REPLICATED = "replication"
CREDIBLE = "credible time"
RETRYABLE = "full disk is retryable"

FAULTS = (
    Fault("worker killed (SIGKILL)", blows.kill_workers, 2, 10, 20, "lease expiry", chained=True),
    Fault("worker stopped beyond its lease (SIGSTOP, SIGCONT)", blows.freeze_workers, 0, 5, 2, BOTH),
    Fault("worker cut off from the broker for 20 s", blows.cut_a_worker_off, 1, 5, 1, "epoch check"),
    Fault("streams process killed (SIGKILL)", blows.kill_streams, 2, 10, 10, "recovery", chained=True),
    Fault("streams process killed at a step of its commit", blows.kill_streams_at_each_step, 2, 3, 7, "recovery"),
    Fault(
        "streams process stopped beyond its session (SIGSTOP, SIGCONT)", blows.freeze_streams, 1, 5, 2, "fencing"
    ),
    Fault("streams process stopped inside a transaction", blows.freeze_streams_in_transaction, 1, 3, 4, "fencing"),
    Fault("streams process cut off from the broker for 20 s", blows.cut_a_streams_process_off, 1, 5, 1, "fencing"),
    Fault(
        "streams processes joining, leaving, killed as they join", blows.storm_of_rebalances, 1, 5, 2, "recovery"
    ),
    Fault("everything restarted in turn (SIGTERM)", blows.restart_everything, 1, 5, 1, "recovery", chained=True),
    Fault("broker killed and started again", blows.restart_broker, 1, 5, 2, "recovery"),
    Fault("loader killed (SIGKILL)", blows.kill_loaders, 0, 5, 10, OFFSETS_LAST),
    Fault("ClickHouse away for 8 s, loader killed", blows.take_clickhouse_away, 1, 5, 1, OFFSETS_LAST),
    Fault("ClickHouse away for a minute, loader killed", AWAY_FOR_A_MINUTE, 0, 2, 1, OFFSETS_LAST),
    Fault(
        "workers' clocks 10 min and 5 % wrong, stopped beyond their leases",
        surroundings.wrong_worker_clocks,
        1,
        3,
        2,
        BOTH,
    ),
    Fault("workers' clocks 40 days ahead", surroundings.worker_clocks_days_ahead, 0, 3, 1, CREDIBLE),
    Fault(
        "streams processes' clocks 10 min and 5 % wrong, killed with a worker",
        surroundings.wrong_streams_clocks,
        1,
        3,
        4,
        BROKERS_TIME,
    ),
    Fault("worker's disk full", surroundings.fill_a_workers_disk, 1, 5, 2, RETRYABLE, why_no_disk),
    Fault("one broker of three killed (SIGKILL)", clusters.kill_a_broker, 0, 4, 5, REPLICATED, brokers=3),
    Fault(
        "active controller of three killed (SIGKILL)", clusters.kill_the_controller, 0, 2, 5, REPLICATED, brokers=3
    ),
)

CONTROLS = (
    Control("lease expiry", blows.kill_workers, "lost"),
    Control("epoch check", blows.cut_a_worker_off, "doubled"),
    Control(BOTH, blows.freeze_workers, "doubled"),
    Control("recovery", blows.kill_after_commit, "doubled", streams=1),
    Control("fencing", blows.freeze_before_begin, "doubled"),
    Control(OFFSETS_LAST, blows.take_clickhouse_away, "rows", short=False),
    Control(CREDIBLE, surroundings.worker_clocks_days_ahead, "charges"),
    Control(BROKERS_TIME, surroundings.wrong_streams_clocks, "lost"),
    Control(RETRYABLE, surroundings.fill_a_workers_disk, "lost", refused=why_no_disk, short=False),
)
