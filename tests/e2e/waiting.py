"""Waiting on a condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE_S = 0.1


def eventually(condition: Callable[[], T], within_s: float = 30.0) -> T:
    """The first true value of `condition`; fails with the last one when the deadline passes."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still {value!r} after {within_s} s"
        time.sleep(PAUSE_S)
    return value
