"""A real sandbox, held by the kernel. Each limit with its control: the same command under a policy that allows
it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.errors import InvalidInput, SandboxFailed
from penstock_services.sandbox import Sandbox, command_line, seccomp
from penstock_services.sandbox.cgroups import prepared_hierarchy
from penstock_services.sandbox.owners import this_process

MIB = 1024 * 1024


async def said(sandbox: Sandbox, *argv: str, **options) -> str:
    outcome = await sandbox.run(argv, **options)
    assert outcome.succeeded, outcome
    return outcome.output.decode()


def groups() -> list[str]:
    return [group.name for group in prepared_hierarchy().groups() if group.name.startswith(this_process().name)]


async def test_a_command_sees_a_user_a_host_and_a_folder_of_its_own(sandbox):
    assert await said(sandbox, "sh", "-c", "id -u; hostname; pwd; ls -A") == "1000\nsandbox\n/workspace\n.tmp\n"


async def test_it_runs_as_the_slots_user_outside(sandbox_world):
    workspace = sandbox_world.workspace()
    await sandbox_world.sandbox(workspace=workspace).run(["touch", "made"])
    found = (workspace.path / "made").stat()
    assert (found.st_uid, found.st_gid) == (sandbox_world.uid, sandbox_world.uid)


async def test_stdin_is_what_was_given_and_otherwise_empty(sandbox):
    assert await said(sandbox, "cat", stdin=b"given") == "given"
    assert await said(sandbox, "sh", "-c", "cat; test -t 0 || echo no terminal") == "no terminal\n"


async def test_a_command_that_never_reads_a_large_stdin_still_ends(sandbox):
    assert await said(sandbox, "echo", "done", stdin=b"x" * (4 * MIB)) == "done\n"


async def test_of_much_output_the_end_is_kept_and_that_is_said(sandbox):
    outcome = await sandbox.run(["seq", "1000000"], output_bytes=14)
    assert (outcome.output, outcome.truncated) == (b"99999\n1000000\n"[-14:], True)
    outcome = await sandbox.run(["seq", "3"], output_bytes=6)
    assert (outcome.output, outcome.truncated) == (b"1\n2\n3\n", False)


async def test_binary_output_comes_as_it_is(sandbox):
    everything = bytes(range(256))
    outcome = await sandbox.run(["cat"], stdin=everything)
    assert outcome.output == everything


async def test_a_status_and_a_signal_are_told_apart(sandbox):
    outcome = await sandbox.run(["sh", "-c", "exit 7"])
    assert (outcome.reason, outcome.exit_code, outcome.signal) == ("completed", 7, None)
    outcome = await sandbox.run(["sh", "-c", "kill -TERM $$"])
    assert (outcome.reason, outcome.exit_code, outcome.signal) == ("killed", None, 15)


@pytest.mark.parametrize("command", ["curl", "wget", "ssh", "scp", "nc"])
async def test_free_lacks_commands_that_pro_has(sandbox_world, command):
    workspace = sandbox_world.workspace()
    free = sandbox_world.sandbox(workspace=workspace)
    assert (await free.run([command, "--version"])).reason == "policy_denied"
    assert (await free.run(["sh", "-c", f"command -v {command}"])).exit_code != 0
    if shutil.which(command, path="/usr/bin"):
        pro = sandbox_world.sandbox(sandbox_world.policies["pro"], workspace)
        assert await said(pro, "sh", "-c", f"command -v {command}") == f"/usr/bin/{command}\n"


async def test_over_its_time_the_whole_tree_is_killed(sandbox):
    outcome = await sandbox.run(["sh", "-c", "setsid sleep 1234567 & sleep 1234567"], timeout_s=0.3)
    assert (outcome.reason, outcome.exit_code, outcome.signal) == ("timed_out", None, 9)
    assert not running("1234567")


async def test_what_it_left_in_the_background_ends_with_it(sandbox):
    await said(sandbox, "sh", "-c", "setsid sleep 7654321 > /dev/null 2>&1 &")
    assert not running("7654321")
    assert groups() == []


async def test_a_cancelled_run_leaves_nothing(sandbox_world):
    workspace = sandbox_world.workspace()
    command = asyncio.create_task(
        sandbox_world.sandbox(workspace=workspace).run(["sh", "-c", "touch begun; sleep 1357911"])
    )
    async with asyncio.timeout(10):
        while not (workspace.path / "begun").exists():
            await asyncio.sleep(0.01)
    command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await command
    assert not running("1357911")
    assert groups() == []


async def test_memory_is_limited_and_the_same_fits_under_a_higher_limit(sandbox_world):
    workspace, free = sandbox_world.workspace(), sandbox_world.policies["free"]
    touches = ["python3", "-c", "x = bytearray(b'x') * (48 << 20)"]
    outcome = await sandbox_world.sandbox(replace(free, memory_bytes=32 * MIB), workspace).run(touches)
    assert (outcome.reason, outcome.signal) == ("out_of_memory", 9)
    assert outcome.receipt.peak_memory_bytes <= 32 * MIB
    outcome = await sandbox_world.sandbox(replace(free, memory_bytes=128 * MIB), workspace).run(touches)
    assert outcome.succeeded
    assert outcome.receipt.peak_memory_bytes > 48 * MIB


async def test_exactly_as_many_processes_run_as_the_tier_allows(sandbox_world):
    workspace, free = sandbox_world.workspace(), sandbox_world.policies["free"]
    four_children = ["sh", "-c", "for n in 1 2 3 4; do sleep 0.2 & done; wait; echo all"]
    assert await said(sandbox_world.sandbox(free, workspace), *four_children) == "all\n"
    outcome = await sandbox_world.sandbox(replace(free, processes=4), workspace).run(four_children)
    assert outcome.reason == "too_many_processes"


async def test_the_disk_quota_is_the_volumes_to_the_byte(sandbox_world):
    workspace = sandbox_world.workspace(quota_bytes=16 * MIB)
    sandbox = sandbox_world.sandbox(workspace=workspace)
    outcome = await sandbox.run(["dd", "if=/dev/zero", "of=big", "bs=4k"])
    assert (outcome.reason, outcome.exit_code) == ("quota_exceeded", 1)
    assert 8 * MIB < outcome.receipt.bytes_written <= 16 * MIB
    image = sandbox_world.folder / "workspaces" / ".volumes" / "acme.img"
    assert image.stat().st_blocks * 512 <= 16 * MIB


async def test_receipts_count_what_was_used(sandbox):
    outcome = await sandbox.run(["sh", "-c", "head -c 3000000 /dev/urandom > x; sha256sum x"])
    receipt = outcome.receipt
    assert 0 < receipt.cpu_s < receipt.wall_s * (os.cpu_count() or 1)
    assert receipt.peak_memory_bytes > 3_000_000  # the page cache of what it wrote counts
    assert receipt.gb_seconds == pytest.approx(receipt.peak_memory_bytes / 1e9 * receipt.wall_s)
    assert 3_000_000 <= receipt.bytes_written < 4_000_000


@pytest.mark.parametrize("argv", [[], [""], ["a\0b"], ["echo", "\0"]])
async def test_what_is_no_command_is_refused(sandbox, argv):
    with pytest.raises(InvalidInput):
        await sandbox.run(argv)


async def test_an_argument_list_that_is_too_long_is_no_outcome(sandbox):
    with pytest.raises(SandboxFailed, match="cannot be started"):
        await sandbox.run(["echo", "x" * (4 * MIB)])
    assert groups() == []


async def test_a_sandbox_that_cannot_be_set_up_runs_nothing(sandbox_world, monkeypatch):
    workspace = sandbox_world.workspace()
    sandbox = sandbox_world.sandbox(workspace=workspace)
    options = command_line.bwrap_options
    monkeypatch.setattr(command_line, "bwrap_options", lambda *a: [*options(*a), "--bind", "/no/such/path", "/x"])
    with pytest.raises(SandboxFailed, match="/no/such/path"):
        await sandbox.run(["touch", "ran"])
    assert not (workspace.path / "ran").exists()


async def test_without_its_filter_a_sandbox_could_make_a_namespace(sandbox, monkeypatch):
    """The control of the filter: what it refuses, the kernel would give."""
    program = "import ctypes; print(ctypes.CDLL(None).socket(16, 3, 0) >= 0)"  # AF_NETLINK, raw
    assert await said(sandbox, "python3", "-c", program) == "False\n"
    monkeypatch.setattr(seccomp, "programs", lambda: ())
    assert await said(sandbox, "python3", "-c", program) == "True\n"


async def test_a_workspace_in_a_closed_folder_is_refused_by_bubblewrap_not_opened(sandbox_world, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    sandbox = Sandbox(sandbox_world.policies["free"], closed, sandbox_world.uid, runtime=sandbox_world.runtime)
    with pytest.raises(SandboxFailed):
        await sandbox.run(["true"])


def test_root_is_refused(sandbox_world):
    free, workspace = sandbox_world.policies["free"], sandbox_world.workspace()
    with pytest.raises(InvalidInput, match="user 0"):
        Sandbox(free, workspace.path, 0)


async def test_enterprise_sees_etc_without_secrets(sandbox_world):
    sandbox = sandbox_world.sandbox(sandbox_world.policies["enterprise"])
    seen = await said(sandbox, "sh", "-c", "cat /etc/passwd; ls -R /etc; grep -rl 'PRIVATE KEY' /etc || true")
    assert seen.startswith("root:x:0:0:root:/:/bin/false\nagent:x:1000")
    assert "shadow" not in seen
    assert "sudoers" not in seen
    assert "machine-id" not in seen
    assert "\nhostname\n" not in seen


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder outside /tmp, which no sandbox is shown."""
    with tempfile.TemporaryDirectory(prefix="penstock-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o711)
        yield Path(folder)


async def test_an_enterprise_tenants_extra_paths_are_there_and_only_the_writable_can_be_written(
    sandbox_world, open_folder
):
    shown, taken = open_folder / "shown", open_folder / "taken"
    for folder in (shown, taken):
        folder.mkdir()
        folder.chmod(0o777)
    (shown / "model").write_text("weights")
    policy = sandbox_world.policies["enterprise"]
    policy = replace(policy, readable=(*policy.readable, str(shown)), writable=(str(taken),))
    sandbox = sandbox_world.sandbox(policy)
    script = f"cat {shown}/model; touch {shown}/x || echo refused; echo out > {taken}/result"
    assert "weights" in await said(sandbox, "sh", "-c", script)
    assert (taken / "result").read_text() == "out\n"
    assert not (shown / "x").exists()


def running(word: str) -> bool:
    """Whether a process of this host has `word` among its arguments."""
    return any(word.encode() in _read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
