"""A slot: `python -m penstock_consumers.worker.slot FD`, one process that runs one attempt at a time.

The main thread runs the agent, each attempt in an event loop of its own, so that tasks an agent leaves behind end
with it. A second thread listens to the supervisor and guards the run: it kills this process and everything it
started when the lease's deadline passes or the supervisor is gone, also while the agent blocks its event loop or
the supervisor is stopped. A kernel timer stands behind that thread for an agent that never releases the GIL.
"""

from __future__ import annotations

import asyncio
import os
import queue
import select
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import NoReturn

from penstock.agents import AgentCatalog, AgentContext, Attempt, load_agents
from penstock.errors import AgentError
from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.sessions import kill_session
from penstock_consumers.worker.wire import (
    LENGTH_BYTES,
    Cancel,
    Ended,
    Extend,
    FrameTooLong,
    FromSlot,
    Ready,
    Reported,
    Start,
    ToSlot,
    body_length,
    frame,
    to_slot,
)
from penstock_schemas import records as r

RECHECK_S = 1.0
"""`select` does not count suspended time, so a waiting guard looks at the clock at least this often."""
KERNEL_TIMER_DELAY_S = 1.0
"""How much later than the guard the kernel's timer ends the process."""


class NotText(AgentError):
    """The agent's `run` returned something else than a str."""


class Guard(threading.Thread):
    """Listens to the supervisor; the only reader of the socket."""

    def __init__(self, supervisor: socket.socket) -> None:
        super().__init__(name="guard", daemon=True)
        self._socket = supervisor
        self._deadline_s: float | None = None
        self.starts: queue.SimpleQueue[Start] = queue.SimpleQueue()
        self.context: AgentContext | None = None
        self._timing = threading.Lock()

    def run(self) -> None:
        """Until the process ends: its own end is the only way out."""
        try:
            while True:
                self._await_message()
                self._take(self._receive())
        finally:
            _die()

    def run_over(self) -> None:
        """No deadline applies until the next start."""
        with self._timing:
            self._deadline_s = self.context = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _await_message(self) -> None:
        while True:
            deadline_s = self._deadline_s
            left_s = RECHECK_S if deadline_s is None else deadline_s - boottime_s()
            if left_s <= 0:
                _die()
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
                case Cancel() if self.context is not None:
                    self.context.cancel()

    def _until(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        left_s = max(0.0, deadline_s - boottime_s())
        signal.setitimer(signal.ITIMER_REAL, left_s + KERNEL_TIMER_DELAY_S)


class Slot:
    """Runs attempts one after the other.

    Args:
        supervisor: connected socket to the supervisor.
        agents: what can be run.
    """

    def __init__(self, supervisor: socket.socket, agents: AgentCatalog) -> None:
        self._socket = supervisor
        self._agents = agents
        self._guard = Guard(supervisor)
        self._sending = threading.Lock()

    def serve(self) -> NoReturn:
        """Serve until the supervisor goes away, or until an agent left the interpreter in doubt."""
        self._guard.start()
        while True:
            self._send(Ready())
            ended, trustworthy = self._run(self._guard.starts.get())
            kill_session(os.getpid(), spare=os.getpid())  # whatever the agent left running in the background
            self._guard.run_over()
            self._send(ended)
            if not trustworthy:
                _die()

    def _run(self, start: Start) -> tuple[Ended, bool]:
        try:
            return Ended(output=asyncio.run(self._attempt(start))), True
        except Exception as exc:
            return _failure(exc), True
        except BaseException as exc:  # SystemExit and its kind: the agent wanted this process to end
            return _failure(exc), False

    async def _attempt(self, start: Start) -> str:
        attempt = Attempt(
            execution_id=start.execution_id,
            epoch=start.epoch,
            tenant_id=start.tenant_id,
            agent_type=start.agent_type,
            input=start.input,
            user_id=start.user_id,
            model=start.model,
            max_tokens=start.max_tokens,
            metadata=start.metadata,
        )
        context = self._guard.context = AgentContext(attempt, Path(start.workspace), self._report)
        output: object = await self._agents.agent(start.agent_type).run(context)
        if not isinstance(output, str):
            raise NotText(f"agent {start.agent_type!r} returned {type(output).__name__} instead of str")
        return output

    async def _report(self, record: r.ProgressRecord | r.RecordUsage) -> None:
        self._send(Reported(type(record).__name__, record.model_dump_json().encode()))

    def _send(self, message: FromSlot) -> None:
        try:
            data = frame(message)
        except (FrameTooLong, UnicodeEncodeError) as exc:  # only an output can be either
            data = frame(_failure(exc))
        try:
            with self._sending:
                self._socket.sendall(data)  # blocks where the supervisor is behind: that is the back-pressure
        except OSError:
            _die()  # the supervisor is gone


def _failure(exc: BaseException) -> Ended:
    try:
        message = str(exc)
    except Exception:  # an author's __str__
        message = "its message cannot be printed"
    return Ended(
        error_type=type(exc).__name__,
        error_message=message.encode(errors="replace").decode(),
        retryable=isinstance(exc, AgentError) and exc.retryable,
    )


def _die() -> NoReturn:
    kill_session(os.getpid(), spare=os.getpid())
    os._exit(1)


def main() -> None:
    """Take the inherited socket's number from the command line and serve."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    Slot(supervisor, load_agents()).serve()


if __name__ == "__main__":
    main()
