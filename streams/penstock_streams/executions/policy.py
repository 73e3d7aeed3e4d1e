"""Times that shape leases, repeats and retries."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from penstock_streams.timing import DAY_US, SECOND_US


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The operator's choices, in microseconds."""

    hold_us: int = 30 * SECOND_US
    """A lease lives this long after the last heartbeat that listed it."""
    repeat_first_us: int = 5 * SECOND_US
    """An unclaimed dispatch is repeated after this, then after twice as long, and so on."""
    repeat_most_us: int = 60 * SECOND_US
    claimed_within_us: int = DAY_US
    """An attempt that no worker of its queue has claimed for this long fails the execution."""
    retry_first_us: int = 1 * SECOND_US
    """An attempt that failed retryably is dispatched again after this, then after twice as long."""
    retry_most_us: int = 60 * SECOND_US
    deadline_slack_us: int = 2 * SECOND_US
    """The worker ends a run at its deadline and knows `last_seq`; executions waits this much longer for it."""
    ended_kept_us: int = DAY_US
    """How long a late report of an ended execution is still recognised."""

    def repeat_after_us(self, dispatch_seq: int) -> int:
        return min(self.repeat_first_us << min(dispatch_seq - 1, 16), self.repeat_most_us)

    def retry_after_us(self, execution_id: str, attempts: int) -> int:
        """Back-off before the next attempt, with up to a quarter of jitter drawn from the execution id."""
        pause_us = min(self.retry_first_us << min(max(attempts - 1, 0), 16), self.retry_most_us)
        draw = int.from_bytes(sha256(f"{execution_id}/{attempts}".encode()).digest()[:4], "big") / 2**32
        return pause_us + int(pause_us * draw / 4)
