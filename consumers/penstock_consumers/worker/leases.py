"""The leases this worker holds, and until when. Pure: every time is an argument, in CLOCK_BOOTTIME seconds.

A lease lives, for the worker, `hold - margin` from the moment the claim or the confirmed heartbeat was *sent*. The
lease authority counts from when it read it, which is later; so the worker always gives up first.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple


class LeaseKey(NamedTuple):
    """One attempt."""

    execution_id: str
    epoch: int


@dataclass(slots=True)
class _Held:
    partition: int
    hold_s: float
    deadline_s: float


class LeaseTable:
    """Deadlines of the held leases.

    Args:
        margin_s: taken off every hold.
    """

    def __init__(self, margin_s: float) -> None:
        self._margin_s = margin_s
        self._held: dict[LeaseKey, _Held] = {}
        self._unconfirmed: dict[int, dict[int, tuple[float, frozenset[LeaseKey]]]] = defaultdict(dict)
        self._seq = 0

    def __contains__(self, key: LeaseKey) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def grant(self, key: LeaseKey, partition: int, hold_s: float, claim_sent_s: float) -> float:
        """Hold a granted lease; returns its deadline, which may have passed already."""
        deadline_s = claim_sent_s + hold_s - self._margin_s
        self._held[key] = _Held(partition, hold_s, deadline_s)
        return deadline_s

    def release(self, key: LeaseKey) -> None:
        """The attempt is over, here or altogether."""
        self._held.pop(key, None)

    def deadline_s(self, key: LeaseKey) -> float | None:
        """Until when the attempt may run; None where it is not held."""
        held = self._held.get(key)
        return None if held is None else held.deadline_s

    def beat(self, now_s: float) -> list[Beat]:
        """The heartbeats to send now, one per partition with leases, each to be sent after `now_s`."""
        listed: dict[int, list[LeaseKey]] = defaultdict(list)
        for key, held in self._held.items():
            listed[held.partition].append(key)
        beats = []
        for partition, keys in listed.items():
            self._seq += 1
            self._unconfirmed[partition][self._seq] = (now_s, frozenset(keys))
            beats.append(Beat(partition, self._seq, keys))
        for partition in self._unconfirmed.keys() - listed.keys():
            del self._unconfirmed[partition]
        return beats

    def confirm(self, partition: int, seq: int, hold_s: float | None = None) -> dict[LeaseKey, float]:
        """A heartbeat was confirmed: new deadlines of the leases it listed and that are still held.

        `hold_s` is the hold from now on; where an operator has shortened it a deadline may move back.
        """
        beats = self._unconfirmed.get(partition, {})
        sent_s, listed = beats.get(seq, (0.0, frozenset[LeaseKey]()))
        for older in [other for other in beats if other <= seq]:
            del beats[older]
        extended = {}
        for key in listed & self._held.keys():
            held = self._held[key]
            earliest_s = held.deadline_s if not hold_s or hold_s >= held.hold_s else 0.0
            held.hold_s = hold_s or held.hold_s
            held.deadline_s = max(earliest_s, sent_s + held.hold_s - self._margin_s)
            extended[key] = held.deadline_s
        return extended

    def expired(self, now_s: float) -> list[LeaseKey]:
        """The leases whose deadline has passed."""
        return [key for key, held in self._held.items() if held.deadline_s <= now_s]


class Beat(NamedTuple):
    """One heartbeat to send."""

    partition: int
    seq: int
    leases: list[LeaseKey]
