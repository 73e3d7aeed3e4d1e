"""`shell`, in a real sandbox."""

import pytest

from penstock.errors import SandboxUnavailable
from penstock_consumers.agents.shell import CommandFailed, CommandStopped, CommandTimedOut, ShellAgent
from penstock_schemas import records as r
from tests.fixtures.sandbox import InSandbox


@pytest.fixture
def sandboxed(by_hand, sandbox_world):
    by_hand.sandboxed = InSandbox(sandbox_world)
    return by_hand


async def test_without_a_sandbox_nothing_is_run(by_hand, tmp_path):
    with pytest.raises(SandboxUnavailable, match="PENSTOCK_WORKER_TIERS"):
        await by_hand.run(ShellAgent(), f"touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()


async def test_a_command_runs_in_the_workspace_and_its_output_is_the_result(sandboxed):
    output = await sandboxed.run(ShellAgent(), "echo x > made; pwd; echo oops >&2")
    assert output == "/workspace\noops\n"
    assert (sandboxed.sandboxed.workspace.path / "made").read_text() == "x\n"
    assert sandboxed.all(r.ToolCalled)[0].status == "success"


async def test_what_a_command_used_is_reported_once_as_usage_of_the_sandbox(sandboxed):
    await sandboxed.run(ShellAgent(), "seq 100000 | sort > sorted")
    (usage,) = sandboxed.all(r.RecordUsage)
    assert (usage.model, usage.input_tokens, usage.output_tokens, usage.tool_calls) == ("sandbox", 0, 0, 1)
    assert usage.sandbox_cpu_ms > 0
    assert usage.sandbox_gb_ms > 0


async def test_a_failed_command_is_billed_too(sandboxed):
    with pytest.raises(CommandFailed, match="status 3: bad"):
        await sandboxed.run(ShellAgent(), "echo bad; exit 3")
    assert len(sandboxed.all(r.RecordUsage)) == 1


async def test_a_command_sees_none_of_the_workers_environment(sandboxed, environment):
    environment(PENSTOCK_KAFKA_SASL_PASSWORD="secret")
    names = {line.split("=")[0] for line in (await sandboxed.run(ShellAgent(), "env")).splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "PWD", "SHLVL", "_", "TMPDIR", "USER", "TERM"}


async def test_of_much_output_the_end_is_kept(sandboxed, environment):
    environment(PENSTOCK_SHELL_OUTPUT_BYTES="100")
    output = await sandboxed.run(ShellAgent(), "seq 100000")
    assert len(output) == 100
    assert output.endswith("\n99999\n100000\n")


async def test_a_command_over_its_time_is_killed(sandboxed, environment):
    environment(PENSTOCK_SHELL_LIMIT_S="0.3")
    with pytest.raises(CommandTimedOut, match=r"killed after 0\.\d s; it said: before"):
        await sandboxed.run(ShellAgent(), "echo before; sleep 1000 & wait")


async def test_the_limit_that_stopped_a_command_is_named(by_hand, sandbox_world):
    by_hand.sandboxed = InSandbox(sandbox_world, memory_bytes=32 << 20)
    with pytest.raises(CommandStopped, match="signal 9: out_of_memory"):
        await by_hand.run(ShellAgent(), "exec python3 -c 'x = bytearray(b\"x\") * (64 << 20)'")
