"""Wrong clocks for a whole process. Every Python process of a world imports this before anything else (its
`sitecustomize`), so that a worker's slots are as wrong as the worker itself.

Wrong are the clocks that our code reads: `time.time` and `time.time_ns`, and CLOCK_BOOTTIME. What waits in the
kernel or in the event loop waits its true time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

WALL_AHEAD_S = "FAULTS_WALL_CLOCK_AHEAD_S"
BOOT_RATE = "FAULTS_BOOT_CLOCK_RATE"


@dataclass(frozen=True, slots=True)
class Clocks:
    """How wrong the clocks of a process are."""

    wall_ahead_s: float = 0.0
    """Negative: behind."""
    boot_rate: float = 1.0
    """Seconds that CLOCK_BOOTTIME counts in one second."""

    def environment(self) -> dict[str, str]:
        return {WALL_AHEAD_S: str(self.wall_ahead_s), BOOT_RATE: str(self.boot_rate)}


def clocks_in(environment: Mapping[str, str]) -> Clocks:
    return Clocks(float(environment.get(WALL_AHEAD_S, 0)), float(environment.get(BOOT_RATE, 1)))


def set_wrong(clocks: Clocks) -> None:
    """Set the clocks of this process."""
    true_time, true_ns = time.time, time.time_ns
    true_clock, true_clock_ns = time.clock_gettime, time.clock_gettime_ns
    ahead_ns = int(clocks.wall_ahead_s * 1e9)

    def clock_gettime(clock: int, /) -> float:
        return true_clock(clock) * (clocks.boot_rate if clock == time.CLOCK_BOOTTIME else 1.0)

    def clock_gettime_ns(clock: int, /) -> int:
        now_ns = true_clock_ns(clock)
        return int(now_ns * clocks.boot_rate) if clock == time.CLOCK_BOOTTIME else now_ns

    time.time = lambda: true_time() + clocks.wall_ahead_s
    time.time_ns = lambda: true_ns() + ahead_ns
    time.clock_gettime, time.clock_gettime_ns = clock_gettime, clock_gettime_ns


if (wrong := clocks_in(os.environ)) != Clocks():
    set_wrong(wrong)
