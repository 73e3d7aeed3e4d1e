"""Killing everything a slot started. A slot leads its own session, and its children stay in it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def kill_session(session_id: int, *, spare: int | None = None) -> None:
    """SIGKILL every process of the session, `spare` excepted."""
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(ProcessLookupError, PermissionError):
            if pid != spare and os.getsid(pid) == session_id:
                os.kill(pid, signal.SIGKILL)
