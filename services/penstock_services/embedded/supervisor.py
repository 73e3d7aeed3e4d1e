"""Executes a `Stack`: starts it in order, keeps it running, stops it in reverse order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from penstock.errors import ProcessFailed
from penstock_services.embedded.plan import Stack, Step
from penstock_services.embedded.process import RunningProcess, ServerProcess, describe_exit
from penstock_services.embedded.run_file import Identity, ProcessReport, RunReport, StepReport

log = logging.getLogger("penstock.supervisor")

STARTS_BEFORE_GIVING_UP = 3
"""Of a process that ends before it was ever healthy; one that was healthy once is restarted for ever."""
_PROBE_EVERY_S = 2.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_GOOD_AFTER_S = 60.0
"""A run at least this long starts the back-off anew."""


class Supervisor:
    """One execution of a stack. A process that is alive but unhealthy is reported and left alone: most wait for
    another one, and a restart would only add load.

    Args:
        report: filled as things change.
        publish: called after each change of `report`.
    """

    def __init__(self, stack: Stack, report: RunReport, publish: Callable[[], None]) -> None:
        self._stack = stack
        stack.check()
        self._report = report
        self._publish = publish
        self._processes = {
            spec.name: ProcessReport(name=spec.name, ports=dict(spec.ports), log=str(spec.log_path))
            for spec in stack.processes
        }
        self._steps = {step.name: StepReport(name=step.name) for step in stack.steps}
        report.processes, report.steps = list(self._processes.values()), list(self._steps.values())
        self._ready = {name: asyncio.Event() for name in (*self._processes, *self._steps)}
        self._running: dict[str, RunningProcess] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything and keep it running until `stop` is set; whatever happens, everything is stopped then.

        Raises:
            ProcessFailed: a process did not become healthy at its first start.
            PenstockError: a step failed.
        """
        self._publish()
        units: set[asyncio.Task[Any]] = {
            asyncio.create_task(self._keep(spec), name=spec.name) for spec in self._stack.processes
        }
        units |= {asyncio.create_task(self._do(step), name=step.name) for step in self._stack.steps}
        stopping = asyncio.create_task(stop.wait())
        try:
            waiting = units | {stopping}
            while stopping in waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stopping}:
                    task.result()
        finally:
            self._report.phase = "stopping"
            self._publish()
            for task in (*units, stopping):
                task.cancel()
            await asyncio.gather(*units, stopping, return_exceptions=True)
            await self._stop_all()

    async def _keep(self, spec: ServerProcess) -> None:
        report, failures = self._processes[spec.name], 0
        await self._wait_for(spec.after)
        while True:
            run = await self._start(spec, report)
            try:
                await run.until_healthy()
                self._is_ready(spec.name, time.time() - run.started_at_s)
                why = await self._watch(run, report)
            except ProcessFailed as exc:
                why = str(exc)
                hangs, tries_left = run.exit_code is None, failures + 1 < STARTS_BEFORE_GIVING_UP
                if not self._ready[spec.name].is_set() and (hangs or not tries_left):
                    raise
            await run.stop()  # one that hangs, and what an ended one left in its session
            failures = 1 if time.time() - run.started_at_s > _GOOD_AFTER_S else failures + 1
            pause_s = min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S)
            log.warning("%s; starting it again in %.1f s", why, pause_s)
            report.state, report.detail = "restarting", why.splitlines()[0]
            self._publish()
            await asyncio.sleep(pause_s)
            report.restarts += 1

    async def _start(self, spec: ServerProcess, report: ProcessReport) -> RunningProcess:
        report.state, report.detail = "starting", ""
        self._publish()
        run = self._running[spec.name] = await RunningProcess.start(spec)
        report.identity, report.started_at_s = Identity.of(run.identity), run.started_at_s
        self._publish()
        log.info("%s started, pid %d", spec.name, run.pid)
        return run

    async def _watch(self, run: RunningProcess, report: ProcessReport) -> str:
        """Report its health until it ends; gives how it ended."""
        ended = asyncio.create_task(run.wait())
        try:
            problem: str | None = None
            while not ended.done():
                before = (report.state, report.detail)
                report.state, report.detail = ("unhealthy", problem) if problem else ("healthy", "")
                if before != (report.state, report.detail):
                    log.info("%s is %s %s", run.spec.name, report.state, report.detail)
                    self._publish()
                await asyncio.wait({ended}, timeout=_PROBE_EVERY_S)
                problem = None if ended.done() else await run.spec.health()
            return f"{run.spec.name} ended with {describe_exit(ended.result())}"
        finally:
            ended.cancel()

    async def _do(self, step: Step) -> None:
        report = self._steps[step.name]
        await self._wait_for(step.after)
        report.state = "running"
        self._publish()
        started_s = time.time()
        try:
            async with asyncio.timeout(step.timeout_s):
                await step.run()
        except TimeoutError as exc:
            raise ProcessFailed(f"{step.name}: not done after {step.timeout_s:.0f} s") from exc
        report.state = "done"
        self._is_ready(step.name, time.time() - started_s)
        self._publish()

    async def _wait_for(self, names: tuple[str, ...]) -> None:
        for name in names:
            await self._ready[name].wait()

    def _is_ready(self, name: str, took_s: float) -> None:
        if not self._ready[name].is_set():
            log.info("%s ready after %.1f s", name, took_s)
        self._ready[name].set()
        if self._report.phase == "starting" and all(event.is_set() for event in self._ready.values()):
            self._report.phase = "running"

    async def _stop_all(self) -> None:
        for group in self._stack.stop_order():
            await asyncio.gather(*(self._stop(self._running[name]) for name in group if name in self._running))

    async def _stop(self, run: RunningProcess) -> None:
        await run.stop()
        report = self._processes[run.spec.name]
        report.state = "stopped"
        self._publish()
        log.info("%s stopped: %s", run.spec.name, describe_exit(run.exit_code or 0))
