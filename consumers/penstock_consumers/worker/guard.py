"""What ends a slot's process from inside: its lease's deadline, or the end of its supervisor.

The guard kills this process and everything it started, also while the agent blocks its event loop or the
supervisor is stopped. A kernel timer stands behind it for an agent that never releases the GIL.
"""

from __future__ import annotations

import asyncio
import os
import queue
import select
import signal
import socket
import threading
from contextlib import suppress
from typing import NoReturn

from penstock.agents import AgentContext
from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.sessions import kill_session
from penstock_consumers.worker.wire import (
    LENGTH_BYTES,
    CallKnown,
    Cancel,
    Extend,
    Start,
    ToSlot,
    body_length,
    to_slot,
)

RECHECK_S = 1.0
"""`select` does not count suspended time, so a waiting guard looks at the clock at least this often."""
KERNEL_TIMER_DELAY_S = 1.0
"""How much later than the guard the kernel's timer ends the process."""


class Guard(threading.Thread):
    """Listens to the supervisor; the only reader of the socket."""

    def __init__(self, supervisor: socket.socket) -> None:
        super().__init__(name="guard", daemon=True)
        self._socket = supervisor
        self._deadline_s: float | None = None
        self.starts: queue.SimpleQueue[Start] = queue.SimpleQueue()
        self.context: AgentContext | None = None
        self._timing = threading.Lock()
        self._unknown_calls: dict[int, asyncio.Future[None]] = {}

    def run(self) -> None:
        """Until the process ends: its own end is the only way out."""
        try:
            while True:
                self._await_message()
                self._take(self._receive())
        finally:
            die()

    def run_over(self) -> None:
        """No deadline applies until the next start."""
        with self._timing:
            self._deadline_s = self.context = None
            self._unknown_calls.clear()
            signal.setitimer(signal.ITIMER_REAL, 0)

    def expect_known(self, call_seq: int) -> asyncio.Future[None]:
        """Done, in the loop that runs now, once the supervisor says that the call is known."""
        with self._timing:
            known = self._unknown_calls[call_seq] = asyncio.get_running_loop().create_future()
        return known

    def _await_message(self) -> None:
        while True:
            deadline_s = self._deadline_s
            left_s = RECHECK_S if deadline_s is None else deadline_s - boottime_s()
            if left_s <= 0:
                die()
            readable, _, _ = select.select([self._socket], [], [], min(left_s, RECHECK_S))
            if readable:
                return

    def _receive(self) -> ToSlot:
        return to_slot(self._exactly(body_length(self._exactly(LENGTH_BYTES))))

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = self._socket.recv(count - len(data))
            if not chunk:
                raise EOFError("the supervisor is gone")
            data += chunk
        return bytes(data)

    def _take(self, message: ToSlot) -> None:
        with self._timing:
            match message:
                case Start():
                    self._until(message.deadline_s)
                    self.starts.put(message)
                case Extend() if self._deadline_s is not None:  # else: the run is over already
                    self._until(message.deadline_s)
                case CallKnown() if known := self._unknown_calls.pop(message.call_seq, None):
                    with suppress(RuntimeError):  # its run, and so its loop, has ended meanwhile
                        known.get_loop().call_soon_threadsafe(_set, known)
                case Cancel() if self.context is not None:
                    self.context.cancel()

    def _until(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        left_s = max(0.0, deadline_s - boottime_s())
        signal.setitimer(signal.ITIMER_REAL, left_s + KERNEL_TIMER_DELAY_S)


def _set(known: asyncio.Future[None]) -> None:
    if not known.done():
        known.set_result(None)


def die() -> NoReturn:
    """End this process and everything it started."""
    kill_session(os.getpid(), spare=os.getpid())
    os._exit(1)
