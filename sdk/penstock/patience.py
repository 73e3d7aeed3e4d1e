"""How long a follower waits, and for what."""

from __future__ import annotations

import time

from penstock.errors import FollowTimeout
from penstock.followed import Followed
from penstock.tailing import Ends, Tail

WAIT_S = 1.0
"""Longest wait for records before deadlines are looked at again."""
LATE_PROGRESS_S = 5.0
"""A worker's progress is acknowledged before its result is; what is still missing this long after the end, and
is not on Kafka either, has been removed by retention or was lost: a gap."""


class Deadline:
    """The caller's patience with one execution."""

    def __init__(self, followed: Followed, timeout_s: float | None) -> None:
        self._followed = followed
        self._timeout_s = timeout_s
        self._at_s = None if timeout_s is None else time.monotonic() + timeout_s

    def wait_s(self) -> float:
        """How long the next wait may be.

        Raises:
            FollowTimeout: the time is up.
        """
        if self._at_s is None:
            return WAIT_S
        left_s = self._at_s - time.monotonic()
        if left_s <= 0:
            raise FollowTimeout(
                f"execution {self._followed.execution_id} did not end within {self._timeout_s:g} s; it goes on, "
                f"and `penstock watch {self._followed.execution_id}` shows it"
            )
        return min(left_s, WAIT_S)


class LastChance:
    """Progress missing after the end: read what is on Kafka, for a while, then no longer."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self._over_at_s = time.monotonic() + LATE_PROGRESS_S

    def passed(self, live: Tail) -> bool:
        return time.monotonic() > self._over_at_s and live.has_reached(self.ends)
