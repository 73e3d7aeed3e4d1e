"""One server process: what it is (`ServerProcess`), and one run of it (`RunningProcess`)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from penstock.errors import ProcessFailed, StackError
from penstock_services.embedded.identity import ProcessIdentity
from penstock_services.embedded.logs import open_log, tail_of
from penstock_services.embedded.probes import HealthProbe

_LAUNCHER = Path(__file__).with_name("_launch.py")
_FIRST_PROBES_EVERY_S = 0.1
_KILLED_END_WITHIN_S = 5.0
_LEFT_OVER_LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """A declaration: how to run a server and how to tell that it does its work."""

    name: str
    argv: tuple[str, ...]
    log_path: Path
    health: HealthProbe
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's own environment."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Ports it listens on, by what they are for; the first is the one people connect to."""
    after: tuple[str, ...] = ()
    """Names of processes that must be healthy and steps that must be done before it starts."""
    stops_before: tuple[str, ...] = ()
    """Names of processes it may start beside but must not outlive; those of `after` need not be repeated."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """Runs before every start; must do nothing when there is nothing to do."""
    start_timeout_s: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 15.0
    """After this long it gets SIGKILL."""


class RunningProcess:
    """One run of a server, in its own session, that dies with this process. Made by `start`."""

    def __init__(
        self, spec: ServerProcess, child: asyncio.subprocess.Process, identity: ProcessIdentity, log_start: int
    ) -> None:
        self.spec = spec
        self.identity = identity
        self.started_at_s = time.time()
        self._child = child
        self._log_start = log_start

    @classmethod
    async def start(cls, spec: ServerProcess) -> RunningProcess:
        """Prepare and start it; returns at once, before it is healthy.

        Call this from a thread that lives as long as the process: Linux ties the children's lives to that thread.

        Raises:
            ProcessFailed: its files could not be prepared.
        """
        try:
            if spec.prepare is not None:
                await spec.prepare()
        except OSError as exc:
            raise ProcessFailed(f"{spec.name}: cannot be prepared: {exc}") from exc
        with open_log(spec.log_path) as log:
            log_start = log.tell()
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *spec.argv),
                env=os.environ | spec.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops in order
            )
        gone = ProcessIdentity(child.pid, start_ticks=-1)  # matches no process
        identity = ProcessIdentity.of(child.pid) or gone
        return cls(spec, child, identity, log_start)

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._child.returncode

    async def wait(self) -> int:
        """Until it ends; gives its exit code."""
        return await self._child.wait()

    async def until_healthy(self) -> None:
        """Wait for the first healthy answer.

        Raises:
            ProcessFailed: it ended, or was not healthy within `start_timeout_s`; with the end of its log.
        """
        deadline = time.monotonic() + self.spec.start_timeout_s
        ended = asyncio.ensure_future(self.wait())
        try:
            while (reason := await self.spec.health()) is not None:
                if ended.done():
                    raise self.failure(f"ended with {describe_exit(ended.result())} before it was healthy")
                if time.monotonic() > deadline:
                    raise self.failure(f"not healthy after {self.spec.start_timeout_s:.0f} s: {reason}")
                await asyncio.wait({ended}, timeout=_FIRST_PROBES_EVERY_S)
            if ended.done():  # the answer came from somebody else on its port
                raise self.failure(f"ended with {describe_exit(ended.result())} before it was healthy")
        finally:
            ended.cancel()

    async def stop(self) -> None:
        """Its stop signal, SIGKILL after `stop_timeout_s`, then SIGKILL for whatever it left in its session.

        Raises:
            StackError: something of it does not end, as a process stuck in the kernel does.
        """
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                self._child.send_signal(self.spec.stop_signal)
            try:
                await asyncio.wait_for(self.wait(), self.spec.stop_timeout_s)
            except TimeoutError:
                self.kill()
                await self.wait()
        deadline = time.monotonic() + _KILLED_END_WITHIN_S
        while self.identity.kill_session():
            if time.monotonic() > deadline:
                raise StackError(f"{self.spec.name}: what it started does not end, even by SIGKILL")
            await asyncio.sleep(
                _LEFT_OVER_LOOK_EVERY_S
            )  # the kernel tells the end of a process to its parent only

    def kill(self) -> None:
        """SIGKILL, without waiting."""
        with suppress(ProcessLookupError):
            self._child.kill()

    def failure(self, what: str) -> ProcessFailed:
        """The error for this run, with the end of what it logged."""
        return ProcessFailed(
            f"{self.spec.name}: {what}. The end of {self.spec.log_path}:\n"
            f"{tail_of(self.spec.log_path, since_byte=self._log_start)}"
        )


@asynccontextmanager
async def running(spec: ServerProcess) -> AsyncIterator[RunningProcess]:
    """A healthy run of `spec` for the length of the body, without supervision: for tests and single tools.

    Raises:
        ProcessFailed: it did not become healthy.
    """
    process = await RunningProcess.start(spec)
    try:
        await process.until_healthy()
        yield process
    finally:
        await process.stop()


def describe_exit(code: int) -> str:
    """`exit code 1`, or the signal's name."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
