"""One time for all processes of a stage: the brokers'.

A lease or a timer is a row that another process may take over. If each went by its own wall clock, a process
whose clock is ten minutes ahead would end runs at once that another one started, and one whose clock is behind
would let a dead worker keep its leases for ten minutes. So time is what the brokers stamp on what we write
(LogAppendTime). Every batch shows, within the time it took to write, how far their clock is from CLOCK_BOOTTIME
here, which nobody sets.
"""

from __future__ import annotations

import time

STAMP_US = 1_000
"""A broker's stamp is in whole milliseconds, rounded down."""


def boottime_us() -> int:
    """Microseconds since boot, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class BrokerClock:
    """Call it for the time in microseconds since the epoch; by this machine's wall clock until it `is_set`."""

    def __init__(self) -> None:
        self._ahead_us: int | None = None

    def __call__(self) -> int:
        if self._ahead_us is None:
            return time.time_ns() // 1000
        return boottime_us() + self._ahead_us

    @property
    def is_set(self) -> bool:
        """Whether a broker has stamped anything yet."""
        return self._ahead_us is not None

    def stamped(self, stamp_us: int, sent_us: int, acknowledged_us: int) -> None:
        """A broker stamped `stamp_us` on something sent and acknowledged at these times of `boottime_us`.

        It moves no further than the stamp proves it wrong, so that slow acknowledgements do not shake it.
        """
        least_us, most_us = stamp_us - acknowledged_us, stamp_us + STAMP_US - sent_us
        ahead_us = least_us if self._ahead_us is None else self._ahead_us
        self._ahead_us = min(max(ahead_us, least_us), most_us)
