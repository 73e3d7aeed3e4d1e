"""Which leases a worker holds, and what a heartbeat or the passing of time does to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from penstock_streams.executions import model as m
from penstock_streams.kit import Decision, Rows, Timer

Pair = tuple[str, int]
"""(execution_id, epoch)."""


def leases_of(rows: Rows, worker_id: str) -> m.Leases:
    return rows.get(m.leases_key(worker_id), m.Leases) or m.Leases()


def grant(rows: Rows, worker_id: str, pair: Pair, until: int, decision: Decision) -> None:
    """Add a lease, or renew the one there is."""
    leases = leases_of(rows, worker_id)
    others = tuple(lease for lease in leases.held if (lease.execution_id, lease.epoch) != pair)
    stopping = any(lease.stopping for lease in leases.held if (lease.execution_id, lease.epoch) == pair)
    _put(worker_id, leases, (*others, m.Held(*pair, until, stopping)), decision)


def release(rows: Rows, worker_id: str, pair: Pair, decision: Decision) -> None:
    """Remove one lease, if it is there."""
    leases = leases_of(rows, worker_id)
    others = tuple(lease for lease in leases.held if (lease.execution_id, lease.epoch) != pair)
    if others != leases.held:
        _put(worker_id, leases, others, decision)


def stop(rows: Rows, worker_id: str, pair: Pair, decision: Decision) -> None:
    """Mark one lease: its worker is to stop the run, and keeps the lease until it says how that ended."""
    leases = leases_of(rows, worker_id)
    marked = tuple(
        msgspec.structs.replace(lease, stopping=True) if (lease.execution_id, lease.epoch) == pair else lease
        for lease in leases.held
    )
    _put(worker_id, leases, marked, decision)


class Renewed(NamedTuple):
    """What a heartbeat listed and must hear about."""

    not_held: list[Pair]
    stopping: list[Pair]


def renew(rows: Rows, worker_id: str, listed: Iterable[Pair], until: int, decision: Decision) -> Renewed:
    """Renew every listed lease the worker holds."""
    leases, not_held = leases_of(rows, worker_id), set(listed)
    after: list[m.Held] = []
    renewed: list[m.Held] = []
    for lease in leases.held:
        pair = lease.execution_id, lease.epoch
        if pair in not_held:
            not_held.remove(pair)
            lease = m.Held(*pair, until, lease.stopping)
            renewed.append(lease)
        after.append(lease)
    if renewed:
        _put(worker_id, leases, tuple(after), decision)
    stopping = [(lease.execution_id, lease.epoch) for lease in renewed if lease.stopping]
    return Renewed(sorted(not_held), stopping)


def expire(rows: Rows, worker_id: str, now: int, decision: Decision) -> list[m.Held]:
    """Take away the leases whose hold has passed, and arm the timer for the others."""
    leases = leases_of(rows, worker_id)
    kept = tuple(lease for lease in leases.held if lease.until > now)
    _put(worker_id, msgspec.structs.replace(leases, timer_at=0), kept, decision)
    return [lease for lease in leases.held if lease.until <= now]


def _put(worker_id: str, before: m.Leases, held: tuple[m.Held, ...], decision: Decision) -> None:
    key = m.leases_key(worker_id)
    if not held:
        decision.deletes.append(key)
        decision.timers.append(Timer(key, None))
        return
    first = min(lease.until for lease in held)
    timer_at = before.timer_at if 0 < before.timer_at <= first else first
    if timer_at != before.timer_at:
        decision.timers.append(Timer(key, timer_at, after_grace=True))
    decision.puts[key] = m.Leases(held, timer_at)
