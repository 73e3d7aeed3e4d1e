"""When timers may fire: only once the inputs have been read to where they ended after the timers fell due.

A task that was stopped for a minute wakes up with its timers overdue and the heartbeats that would have moved
them unread. So it asks where the inputs end now, reads up to there, and only then lets the timers fire.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from penstock_streams.kit.rows import TimerRow
from penstock_streams.kit.timers import TimerQueue

LONGEST_WAIT_S = 1.0
FENCE_POLL_S = 0.02
"""While inputs are read up to the fence; markers move the position without a record to wake us."""


class Inputs(Protocol):
    """What the alarm needs of the task's inputs; offsets by topic."""

    def end_offsets(self) -> Awaitable[dict[str, int]]: ...

    def have_read(self, ends: Mapping[str, int]) -> Awaitable[bool]: ...


@dataclass(frozen=True, slots=True)
class _Fence:
    asked_at: int
    ends: Mapping[str, int]


class Alarm:
    """Lets the timers of one task fire.

    Args:
        clock: microseconds since the epoch.
        grace_s: timers with `after_grace` wait until this long after the alarm was made, which is when the
            task begins to run, on `monotonic`.
    """

    def __init__(
        self,
        timers: TimerQueue,
        inputs: Inputs,
        clock: Callable[[], int],
        grace_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timers = timers
        self._inputs = inputs
        self._clock = clock
        self._monotonic = monotonic
        self._grace_ends = monotonic() + grace_s
        self._fence: _Fence | None = None

    def wait_s(self) -> float:
        """How long the task may wait for records before it should ask again what is due."""
        if self._fence is not None:
            return FENCE_POLL_S
        waits = [LONGEST_WAIT_S]
        due = self._timers.next_due(grace_over=self._grace_over())
        if due is not None:
            waits.append((due - self._clock()) / 1e6)
        if not self._grace_over():
            waits.append(self._grace_ends - self._monotonic())
        return max(min(waits), 0.0)

    async def due(self, at_most: int) -> list[tuple[str, TimerRow]]:
        """Timers to fire now, earliest first. Call it only when every record taken has been folded."""
        if self._fence is None:
            now = self._clock()
            due = self._timers.next_due(grace_over=self._grace_over())
            if due is None or due > now:
                return []
            self._fence = _Fence(now, await self._inputs.end_offsets())
        if not await self._inputs.have_read(self._fence.ends):
            return []
        until, self._fence = self._fence.asked_at, None
        return self._timers.take_due(until, grace_over=self._grace_over(), at_most=at_most)

    def _grace_over(self) -> bool:
        return self._monotonic() >= self._grace_ends
