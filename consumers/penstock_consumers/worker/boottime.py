"""The clock of leases: CLOCK_BOOTTIME goes on while the machine sleeps, and nobody sets it."""

from __future__ import annotations

import time


def boottime_s() -> float:
    """Seconds since boot, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
