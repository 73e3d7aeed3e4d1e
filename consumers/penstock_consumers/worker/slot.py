"""A slot: `python -m penstock_consumers.worker.slot FD`, one process that runs one attempt at a time.

The main thread runs the agent, each attempt in an event loop of its own, so that tasks an agent leaves behind end
with it. A second thread, the guard, listens to the supervisor and ends the process when it must end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import NoReturn

from penstock.agents import (
    AgentCatalog,
    AgentContext,
    Attempt,
    PastMessage,
    Reportable,
    StageOutput,
    load_agents,
)
from penstock.errors import AgentError, QuotaExceeded, RetryableAgentError, SandboxFailed, Unreachable
from penstock.models import moment_of
from penstock_consumers.worker.guard import Guard, die
from penstock_consumers.worker.offspring import adopt_orphans, end_offspring
from penstock_consumers.worker.sandboxing import AttemptSandbox
from penstock_consumers.worker.wire import (
    Ended,
    FrameTooLong,
    FromSlot,
    Ready,
    Reported,
    Start,
    frame,
)
from penstock_schemas import records as r
from penstock_services.sandbox.disk import is_full
from penstock_services.tracing import below, tracing


class NotText(AgentError):
    """The agent's `run` returned something else than a str."""


class WorkerDiskFull(RetryableAgentError):
    """The agent wrote to a disk without room: this worker's trouble, so another one may have the attempt."""


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
            end_offspring()
            self._guard.run_over()
            self._send(ended)
            if not trustworthy:
                die()

    def _run(self, start: Start) -> tuple[Ended, bool]:
        try:
            with below(start.trace):
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
            reserved_tokens=start.reserved_tokens,
            metadata=start.metadata,
            conversation_id=start.conversation_id,
            turn_number=start.turn_number,
            history=tuple(
                PastMessage(past.turn_number, past.role, past.content, moment_of(past.said_at))
                for past in start.history
            ),
            pipeline_id=start.pipeline_id,
            previous_outputs=tuple(StageOutput(stage, output) for stage, output in start.previous_outputs),
        )
        sandbox = AttemptSandbox(start) if start.sandboxed else None
        context = self._guard.context = AgentContext(attempt, Path(start.workspace), self._report, sandbox)
        try:
            if sandbox is not None:
                await sandbox.receive()
            output: object = await self._agents.agent(start.agent_type).run(context)
            if start.artifact_patterns and sandbox is not None and sandbox.made:
                await context.keep_artifacts(*start.artifact_patterns)
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
            if context.runs_commands and is_full(context.workspace):
                raise QuotaExceeded(f"the tenant's disk quota on this host is used up: {exc}") from exc
            raise WorkerDiskFull(f"the worker's disk is full: {exc}") from exc
        if not isinstance(output, str):
            raise NotText(f"agent {start.agent_type!r} returned {type(output).__name__} instead of str")
        return output

    async def _report(self, record: Reportable) -> None:
        known = self._guard.expect_known(record.call_seq) if isinstance(record, r.StartCall) else None
        self._send(Reported(type(record).__name__, record.model_dump_json().encode()))
        if known is not None:
            await known

    def _send(self, message: FromSlot) -> None:
        try:
            data = frame(message)
        except (FrameTooLong, UnicodeEncodeError) as exc:  # only an output can be either
            data = frame(_failure(exc))
        try:
            with self._sending:
                self._socket.sendall(data)  # blocks where the supervisor is behind: that is the back-pressure
        except OSError:
            die()  # the supervisor is gone


def _failure(exc: BaseException) -> Ended:
    try:
        message = str(exc)
    except Exception:  # an author's __str__
        message = "its message cannot be printed"
    return Ended(
        error_type=type(exc).__name__,
        error_message=message.encode(errors="replace").decode(),
        retryable=(isinstance(exc, AgentError) and exc.retryable) or isinstance(exc, SandboxFailed | Unreachable),
    )


def main() -> None:
    """Take the inherited socket's number from the command line and serve."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    adopt_orphans()
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with tracing("agent"):
        Slot(supervisor, load_agents()).serve()


if __name__ == "__main__":
    main()
