"""The supervisor, on small real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.errors import ContractError, ProcessFailed
from penstock_services.embedded.identity import ProcessIdentity, boot_id
from penstock_services.embedded.plan import Stack, Step
from penstock_services.embedded.ports import free_ports
from penstock_services.embedded.probes import http_probe
from penstock_services.embedded.process import RunningProcess, ServerProcess
from penstock_services.embedded.run_file import Identity, ProcessReport, RunReport
from penstock_services.embedded.supervisor import Supervisor

SMALL_SERVER = str(Path(__file__).with_name("small_server.py"))


class Watched:
    """A supervisor at work and everything its report ever said."""

    def __init__(self, stack: Stack) -> None:
        own = ProcessIdentity.of(os.getpid())
        assert own is not None
        self.report = RunReport(supervisor=Identity.of(own), boot_id=boot_id(), started_at_s=time.time())
        self.said: list[str] = []
        self.stop = asyncio.Event()
        self.supervisor = Supervisor(stack, self.report, self._note)

    def _note(self) -> None:
        lines = [f"{process.name} {process.state}" for process in self.report.processes]
        lines += [f"{step.name} {step.state}" for step in self.report.steps]
        self.said += [line for line in lines if line not in self.said]

    def process(self, name: str) -> ProcessReport:
        return next(process for process in self.report.processes if process.name == name)

    def pid(self, name: str) -> int:
        identity = self.process(name).identity
        assert identity is not None
        return identity.pid


@asynccontextmanager
async def supervised(stack: Stack) -> AsyncIterator[Watched]:
    watched = Watched(stack)
    running = asyncio.create_task(watched.supervisor.run(watched.stop))
    try:
        await until(lambda: watched.report.phase == "running" or running.done())
        yield watched
    finally:
        watched.stop.set()
        await running


async def until(what: Callable[[], bool], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s"
        await asyncio.sleep(0.01)


def server(folder: Path, name: str, *flags: str, after: tuple[str, ...] = ()) -> ServerProcess:
    (port,) = free_ports(1)
    return ServerProcess(
        name=name,
        argv=(sys.executable, SMALL_SERVER, str(port), *flags),
        log_path=folder / f"{name}.log",
        health=http_probe(f"http://127.0.0.1:{port}/"),
        ports={"http": port},
        after=after,
    )


def step(name: str, run: Callable[[], Awaitable[None]] | None = None, after: tuple[str, ...] = ()) -> Step:
    async def nothing() -> None: ...

    return Step(name=name, run=run or nothing, after=after)


def alive(pid: int) -> bool:
    identity = ProcessIdentity.of(pid)
    return identity is not None and identity.is_alive()


async def test_each_thing_starts_after_what_it_names_and_all_stops_in_reverse(tmp_path: Path) -> None:
    last = server(tmp_path, "last", after=("set-up",))
    stack = Stack((last, server(tmp_path, "first")), (step("set-up", after=("first",)),))
    async with supervised(stack) as watched:
        pids = [watched.pid("first"), watched.pid("last")]
    order = ["first healthy", "set-up running", "set-up done", "last starting", "last healthy"]
    assert [line for line in watched.said if line in order] == order
    assert watched.said.index("last stopped") < watched.said.index("first stopped")
    assert not any(map(alive, pids))


async def test_a_process_stops_before_the_one_it_uses_though_they_start_together(tmp_path: Path) -> None:
    user = replace(server(tmp_path, "user", "--ignore-term"), stops_before=("used",), stop_timeout_s=0.2)
    async with supervised(Stack((server(tmp_path, "used"), user))) as watched:
        pass
    assert watched.said.index("user stopped") < watched.said.index("used stopped")


async def test_a_killed_process_is_started_again_and_the_others_stay(tmp_path: Path) -> None:
    async with supervised(Stack((server(tmp_path, "a"), server(tmp_path, "b")))) as watched:
        first, other = watched.pid("a"), watched.pid("b")
        os.kill(first, signal.SIGKILL)
        await until(lambda: watched.pid("a") != first and watched.process("a").state == "healthy")
        assert watched.process("a").restarts == 1
        assert watched.pid("b") == other
        assert watched.process("b").restarts == 0


async def test_each_restart_in_a_row_waits_twice_as_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with supervised(Stack((server(tmp_path, "a"),))) as watched:
        for restarts in (1, 2):
            os.kill(watched.pid("a"), signal.SIGKILL)
            await until(lambda n=restarts: watched.process("a").restarts == n)  # type: ignore[misc]
            await until(lambda: watched.process("a").state == "healthy")
    waits = [record.getMessage() for record in caplog.records if "starting it again" in record.getMessage()]
    assert [wait.rpartition(" in ")[2] for wait in waits] == ["0.5 s", "1.0 s"]


async def test_an_unhealthy_process_that_lives_is_reported_and_left_alone(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    async with supervised(Stack((server(tmp_path, "a", "--broken-if", str(broken)),))) as watched:
        pid = watched.pid("a")
        broken.touch()
        await until(lambda: watched.process("a").state == "unhealthy")
        assert "503" in watched.process("a").detail
        broken.unlink()
        await until(lambda: watched.process("a").state == "healthy")
        assert watched.pid("a") == pid


async def test_a_process_that_keeps_ending_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    ends = replace(server(tmp_path, "ends"), argv=(sys.executable, "-c", "raise SystemExit('no such setting')"))
    watched = Watched(Stack((server(tmp_path, "fine"), ends)))
    with pytest.raises(ProcessFailed, match=r"(?s)ends: ended with exit code 1.*no such setting"):
        await watched.supervisor.run(watched.stop)
    assert watched.process("ends").restarts == 2
    assert not alive(watched.pid("fine"))


async def test_a_process_that_never_answers_fails_the_start_in_time(tmp_path: Path) -> None:
    silent = replace(server(tmp_path, "silent"), argv=("sleep", "1000"), start_timeout_s=0.5)
    watched = Watched(Stack((silent,)))
    with pytest.raises(ProcessFailed, match="silent: not healthy after"):
        await watched.supervisor.run(watched.stop)
    assert not alive(watched.pid("silent"))


async def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    watched = Watched(Stack((replace(server(tmp_path, "none"), argv=("/nowhere/program",)),)))
    with pytest.raises(ProcessFailed, match="/nowhere/program cannot be run: No such file"):
        await watched.supervisor.run(watched.stop)


async def test_files_that_cannot_be_prepared_fail_the_start_with_the_reason(tmp_path: Path) -> None:
    async def prepare() -> None:
        (tmp_path / "none" / "settings").write_text("")

    watched = Watched(Stack((replace(server(tmp_path, "a"), prepare=prepare),)))
    with pytest.raises(ProcessFailed, match=r"a: cannot be prepared: .*No such file"):
        await watched.supervisor.run(watched.stop)


async def test_a_failed_step_stops_everything_with_the_steps_own_error(tmp_path: Path) -> None:
    async def refuse() -> None:
        raise ContractError("partition counts never change")

    watched = Watched(Stack((server(tmp_path, "a"),), (step("topics", refuse, after=("a",)),)))
    with pytest.raises(ContractError, match="never change"):
        await watched.supervisor.run(watched.stop)
    assert not alive(watched.pid("a"))


async def test_a_process_deaf_to_sigterm_is_killed_with_all_it_started(tmp_path: Path) -> None:
    deaf = replace(server(tmp_path, "deaf", "--ignore-term", "--child"), stop_timeout_s=0.3)
    async with supervised(Stack((deaf,))) as watched:
        identity = ProcessIdentity.of(watched.pid("deaf"))
        assert identity is not None
        family = identity.session_members()
        assert len(family) == 2
    assert not any(map(alive, family))


def test_children_die_with_a_supervisor_that_is_killed_and_without_the_launcher_they_do_not(
    tmp_path: Path,
) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from penstock_services.embedded.process import RunningProcess, ServerProcess

async def healthy(): return None

async def main():
    spec = ServerProcess(name="tied", argv=("sleep", "1000"), log_path=Path(sys.argv[1]), health=healthy)
    tied = await RunningProcess.start(spec)
    untied = await asyncio.create_subprocess_exec("sleep", "1000")
    print(tied.pid, untied.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""
    command = [sys.executable, "-c", program, str(tmp_path / "tied.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        tied, untied = map(int, supervisor.stdout.readline().split())
        supervisor.kill()
    try:
        deadline = time.monotonic() + 10
        while alive(tied):
            assert time.monotonic() < deadline, "the child outlived its supervisor"
        assert alive(untied)
    finally:
        os.kill(untied, signal.SIGKILL)


async def test_a_later_process_with_the_same_pid_is_not_touched(tmp_path: Path) -> None:
    spec = replace(server(tmp_path, "a"), argv=("sleep", "1000"))
    process = await RunningProcess.start(spec)
    try:
        earlier = ProcessIdentity(process.pid, process.identity.start_ticks - 1)
        assert earlier.kill_session() == []
        assert not earlier.is_alive()
        assert process.identity.is_alive()
    finally:
        await process.stop()
    assert not process.identity.is_alive()


def test_a_stack_that_names_something_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nobody"):
        Stack((server(tmp_path, "a", after=("nobody",)),)).check()
