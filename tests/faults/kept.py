"""A process of ours that is started again whenever it ends, as any supervisor does."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from penstock_services.embedded.process import RunningProcess, ServerProcess

RESTART_PAUSE_S = 0.3
LOOK_EVERY_S = 0.05
DEADLINE_S = 90.0
"""For everything a healthy machine does in seconds; only a failure reaches it."""


class Kept:
    """Use `start` and `leave`; in between it may be sent any signal."""

    def __init__(self, spec: ServerProcess) -> None:
        self.spec = spec
        self.exits: list[int] = []
        """Exit codes so far; negative is the signal."""
        self._run: RunningProcess | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._armed: dict[str, str] = {}
        self._may_start = asyncio.Event()
        self._may_start.set()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int:
        assert self._run is not None, f"{self.name} was never started"
        return self._run.pid

    async def start(self) -> None:
        """Returns when it is healthy."""
        self._keeping = asyncio.create_task(self._keep())
        await self.until_healthy()

    async def leave(self) -> None:
        """Stop it for good, in its own time; also one that is stopped by SIGSTOP."""
        if self._keeping is None:
            return
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        self._keeping = None
        if self._run is not None:
            self.send(signal.SIGCONT)
            await self._run.stop()

    def send(self, number: signal.Signals) -> float:
        """Send a signal to the process that runs now; returns when, in seconds since the epoch."""
        run = self._run
        if run is not None and run.exit_code is None:
            os.kill(run.pid, number)
        return time.time()

    def arm(self, **environment: str) -> None:
        """Variables for the next start, and for that one alone."""
        self._armed = environment

    def always(self, **environment: str) -> None:
        """Variables for every start from now on."""
        self.spec = replace(self.spec, env={**self.spec.env, **environment})

    def hold(self) -> None:
        """Once it has ended, do not start it again before `let_go`."""
        self._may_start.clear()

    def let_go(self) -> None:
        self._may_start.set()

    async def until_ended(self, starts: int) -> None:
        """Wait until it has ended `starts` times altogether."""
        await until(lambda: len(self.exits) >= starts, f"{self.name} ended")

    async def until_healthy(self) -> None:
        """Wait until the run of now is healthy, however often it starts before."""
        last = "it was not asked"

        async def healthy() -> bool:
            nonlocal last
            if self._run is None or self._run.exit_code is not None:
                return False
            reason = await self.spec.health()
            last = reason or ""
            return reason is None

        await until(healthy, f"{self.name} is healthy", lambda: f"{last}; exits {self.exits[-5:]}")

    async def until_frozen(self) -> None:
        """Wait until it was stopped by SIGSTOP, which it may have sent to itself."""
        await until(lambda: _state(self.pid) == "T", f"{self.name} froze")

    async def _keep(self) -> None:
        while True:
            armed, self._armed = self._armed, {}
            spec = replace(self.spec, env={**self.spec.env, **armed})
            self._run = await RunningProcess.start(spec)
            self.exits.append(await self._run.wait())
            await self._run.stop()  # whatever it left in its session
            await asyncio.sleep(RESTART_PAUSE_S)
            await self._may_start.wait()


async def until(
    holds: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, last: Callable[[], str] = lambda: ""
) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it did not come within `DEADLINE_S`; the harness or the platform is broken.
    """
    ends = time.monotonic() + DEADLINE_S
    while True:
        found = holds()
        if await found if isinstance(found, Awaitable) else found:
            return
        if time.monotonic() > ends:
            raise TimeoutError(f"never: {what} {last()}")
        await asyncio.sleep(LOOK_EVERY_S)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"
