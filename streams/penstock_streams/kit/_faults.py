"""Crash points for fault tests: inert unless PENSTOCK_CRASH_AT names one, as `point:count[:signal]`."""

from __future__ import annotations

import os
import signal

_point, _, _rest = os.environ.get("PENSTOCK_CRASH_AT", "").partition(":")
_count, _, _signal = _rest.partition(":")
_left = int(_count or 1)


def crash_point(point: str) -> None:
    """Send the process the configured signal (SIGKILL by default) the nth time it comes to `point`."""
    global _left
    if point == _point:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), getattr(signal, _signal or "SIGKILL"))
