"""`shell`."""

import time

import pytest

from penstock_consumers.agents.shell import CommandFailed, CommandTimedOut, ShellAgent, ShellDisabled
from penstock_schemas import records as r
from tests.worker.lease_authority import exists, until


@pytest.fixture
def allowed(environment):
    environment(PENSTOCK_UNSAFE_SHELL="1")
    return environment


async def test_shell_is_off_unless_the_operator_turned_it_on(by_hand, tmp_path):
    with pytest.raises(ShellDisabled, match="PENSTOCK_UNSAFE_SHELL=1"):
        await by_hand.run(ShellAgent(), f"touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()
    assert by_hand.reports == []


async def test_a_command_runs_in_the_attempts_folder_and_its_output_is_the_result(by_hand, allowed):
    output = await by_hand.run(ShellAgent(), "echo x > made; pwd; echo oops >&2")
    assert output == f"{by_hand.workspace}\noops\n"
    assert (by_hand.workspace / "made").exists()
    assert by_hand.all(r.ToolCalled)[0].status == "success"


async def test_a_command_sees_none_of_the_workers_environment(by_hand, allowed):
    allowed(PENSTOCK_KAFKA_SASL_PASSWORD="secret")
    names = {line.split("=")[0] for line in (await by_hand.run(ShellAgent(), "env")).splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "PWD", "SHLVL", "_"}


async def test_a_failed_command_fails_the_run_with_its_status_and_output(by_hand, allowed):
    with pytest.raises(CommandFailed, match="status 3: bad"):
        await by_hand.run(ShellAgent(), "echo bad; exit 3")


async def test_of_much_output_the_end_is_kept(by_hand, allowed):
    allowed(PENSTOCK_SHELL_OUTPUT_BYTES="100")
    output = await by_hand.run(ShellAgent(), "seq 100000")
    assert len(output) == 100
    assert output.endswith("\n99999\n100000\n")


async def test_a_command_over_its_time_is_killed_with_its_children(by_hand, allowed):
    allowed(PENSTOCK_SHELL_LIMIT_S="0.3")
    begun = time.monotonic()
    with pytest.raises(CommandTimedOut, match=r"after 0\.3 s"):
        await by_hand.run(ShellAgent(), "sleep 1000 & echo $! > child; wait")
    assert time.monotonic() - begun < 5
    child = int((by_hand.workspace / "child").read_text())
    await until(lambda: not exists(child), "the child ended")
