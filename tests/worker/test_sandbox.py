"""Commands of agents in a worker: run as their tenant's tier says, and gone with the worker."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from penstock.errors import SandboxUnavailable
from penstock.settings import ArtifactSettings
from penstock_consumers.worker.provision import Provision
from penstock_consumers.worker.settings import WorkerSettings
from penstock_consumers.worker.worker import Worker
from penstock_schemas import records as r
from penstock_services.sandbox.cgroups import prepared_hierarchy
from penstock_services.sandbox.owners import Owner
from penstock_services.sandbox.settings import SandboxSettings
from penstock_services.workspaces import Workspaces, reap
from tests.fixtures.sandbox import missing
from tests.worker.lease_authority import QUEUE, until
from tests.worker.test_process import worker_process

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


def left(folder: Path) -> list[str]:
    """Everything of the test agents' runs that is still on this host."""
    processes = [
        cmdline.parent.name
        for cmdline in Path("/proc").glob("[0-9]*/cmdline")
        if b"penstock-sleeps" in _read(cmdline)
    ]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]
    base = folder / "workspaces"
    files = [str(path) for path in base.glob("*/*")] + [str(path) for path in base.glob(".volumes/*")]
    groups = [group.name for group in prepared_hierarchy().groups() if not _alive(group.name)]
    return processes + mounts + files + groups


def _alive(group: str) -> bool:
    """Whether a group's maker still runs: another test's, at work."""
    owner = Owner.parse(group)
    return owner is not None and not owner.gone


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def test_a_command_runs_under_the_limits_of_its_tenants_tier(authority, start_worker, sandbox_folder):
    async with start_worker(tiers=("free", "pro")):
        free = await authority.dispatch("shell", input="ls /usr/bin/curl /usr/share/zoneinfo", tier="free")
        pro = await authority.dispatch("shell", input="ls -d /usr/bin/curl /usr/share/zoneinfo", tier="pro")
        unknown = await authority.dispatch("shell", input="ls /usr/bin/curl", tier="platinum")
        assert (await authority.finished(free)).error_type == "CommandFailed"
        assert (await authority.finished(pro)).output == "/usr/bin/curl\n/usr/share/zoneinfo\n"
        assert (await authority.finished(unknown)).error_type == "CommandFailed"
        await until(lambda: not left(sandbox_folder), "everything is removed")
    (usage,) = authority.all(r.RecordUsage, pro)
    assert (usage.model, usage.tool_calls) == ("sandbox", 1)


async def test_a_tier_the_worker_does_not_serve_is_refused_and_named(authority, start_worker, sandbox_folder):
    async with start_worker(tiers=("free",)):
        finish = await authority.finished(await authority.dispatch("shell", input="true", tier="pro"))
    assert finish.error_type == "SandboxUnavailable"
    assert "PENSTOCK_WORKER_TIERS" in finish.error_message


async def test_an_agent_and_its_commands_share_the_workspace_with_its_project_in_it(
    authority, start_worker, sandbox_folder, platform, tmp_path, monkeypatch
):
    (tmp_path / "acme" / "site").mkdir(parents=True)
    (tmp_path / "acme" / "site" / "project.txt").write_text("of the project\n")
    monkeypatch.setenv("PENSTOCK_SANDBOX_PROJECTS_URL", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_ARTIFACTS_URL", str(platform.artifacts))
    async with start_worker(tiers=("free",)):
        execution = await authority.dispatch("works-with-commands", metadata={"project_id": "site"})
        path = sandbox_folder / "workspaces" / "acme" / f"{execution}.1"
        finish = await authority.finished(execution)
        assert (finish.error_message, finish.output) == (None, f"a\nb\nof the project\n4 {path}")
        elsewhere = await authority.dispatch("works-with-commands", metadata={"project_id": "../other"})
        assert (await authority.finished(elsewhere)).error_type == "WorkspaceRefused"
        await until(lambda: not left(sandbox_folder), "everything is removed")


async def test_a_used_up_quota_is_the_tenants_failure_and_not_the_workers(authority, start_worker, sandbox_folder):
    async with start_worker(tiers=("free",)):
        finish = await authority.finished(await authority.dispatch("fills-its-workspace"))
    assert (finish.error_type, finish.retryable) == ("QuotaExceeded", False)


async def test_nothing_is_left_of_a_command_whose_run_is_ended(authority, start_worker, sandbox_folder):
    async with start_worker(tiers=("free",)):
        execution = await authority.dispatch(
            "shell", input="bash -c 'exec -a penstock-sleeps sleep 1000'", timeout_s=2
        )
        assert (await authority.finished(execution)).status == "timed_out"
        await until(lambda: not left(sandbox_folder), "everything is removed")


async def test_what_a_killed_worker_leaves_is_reaped(authority, platform, sandbox_folder):
    async with worker_process(platform, tiers="free") as process:
        await authority.dispatch("shell", input="touch x; bash -c 'exec -a penstock-sleeps-on sleep 1000'")
        await until(lambda: any(b"penstock-sleeps-on" in _read(p) for p in cmdlines()), "the command runs")
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    await until(lambda: not any(b"penstock-sleeps-on" in _read(p) for p in cmdlines()), "the command ended")
    assert list((sandbox_folder / "workspaces" / "acme").iterdir())

    def reaped() -> bool:  # its slots may still be ending
        reap(prepared_hierarchy(), Workspaces(sandbox_folder / "workspaces"))
        return not left(sandbox_folder)

    await until(reaped, "everything is removed")


async def test_a_worker_that_cannot_hold_a_tier_does_not_start_and_says_which_and_why(
    platform, monkeypatch, sandbox_folder
):
    monkeypatch.setattr("penstock_services.sandbox.command_line.OWN_PROCESSES", 40)
    worker = Worker(
        WorkerSettings(tiers=("free",)),
        platform.kafka,
        platform.registry,
        ArtifactSettings(url=str(platform.artifacts)),
    )
    with pytest.raises(SandboxUnavailable, match="tier free cannot be served here: processes does not hold"):
        await worker.serve()


async def test_a_worker_that_runs_commands_needs_room_in_the_sandboxes_folder(platform, sandbox_folder):
    worker = Worker(
        WorkerSettings(queues=(QUEUE,), tiers=("free",), min_free_bytes=10**18, drain_s=0),
        platform.kafka,
        platform.registry,
        ArtifactSettings(url=str(platform.artifacts)),
    )
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(worker.serve())
        await until(lambda: serving.done() or "disk full" in (worker.not_ready() or ""), "the worker lacks room")
        assert f"bytes free at {sandbox_folder}/workspaces" in (worker.not_ready() or "")
        worker.drain()


def test_a_worker_that_runs_no_commands_needs_none_there(sandbox_folder):
    assert Provision(WorkerSettings(tiers=()), SandboxSettings(folder=sandbox_folder)).folders == ()


def cmdlines() -> list[Path]:
    return list(Path("/proc").glob("[0-9]*/cmdline"))
