"""What bubblewrap is told, and what stands between us and it."""

import subprocess
from dataclasses import replace

from penstock_services.sandbox import load_policies
from penstock_services.sandbox.command_line import bwrap_options, environment, launch
from penstock_services.sandbox.runtime import Shown

FREE = load_policies()["free"]
SHOWN = [Shown("/srv/commands", "/usr/bin"), Shown("/usr/lib64", "/usr/lib64")]


def pairs(options: list[str], flag: str) -> list[tuple[str, str]]:
    return [(options[n + 1], options[n + 2]) for n, option in enumerate(options) if option == flag]


def test_every_namespace_is_the_sandboxs_own_and_none_can_be_added():
    options = bwrap_options(FREE, "/ws", SHOWN, [7, 8], 9)
    assert {"--unshare-all", "--unshare-user", "--disable-userns", "--new-session", "--die-with-parent"} <= set(
        options
    )
    assert options[options.index("--cap-drop") :][:2] == ["--cap-drop", "ALL"]


def test_only_the_workspace_can_be_written():
    options = bwrap_options(FREE, "/ws", SHOWN, [7, 8], 9)
    assert pairs(options, "--bind") == [("/ws", "/workspace")]
    assert pairs(options, "--ro-bind") == [("/srv/commands", "/usr/bin"), ("/usr/lib64", "/usr/lib64")]
    assert "--tmpfs" not in options
    assert [options[n + 1] for n, option in enumerate(options) if option == "--remount-ro"] == ["/dev", "/"]


def test_an_enterprise_tenants_extra_paths_can_be_written_too():
    options = bwrap_options(replace(FREE, writable=("/srv/out",)), "/ws", SHOWN, [7], 9)
    assert pairs(options, "--bind") == [("/ws", "/workspace"), ("/srv/out", "/srv/out")]


def test_both_filters_are_applied():
    options = bwrap_options(FREE, "/ws", SHOWN, [7, 8], 9)
    assert [options[n + 1] for n, option in enumerate(options) if option == "--add-seccomp-fd"] == ["7", "8"]


def test_host_paths_are_not_on_the_command_line():
    assert (
        launch(["/cg/cgroup.procs"], 2_000_000_001, "/usr/bin/bwrap", 5, ["sh", "-c", "x"])[-6:]
        == [
            *("/usr/bin/bwrap", "--args", "5", "--"),
            *("sh", "-c", "x"),
        ][-6:]
    )


def test_a_command_that_cannot_enter_its_control_group_is_not_run(tmp_path):
    argv = launch([str(tmp_path / "missing" / "cgroup.procs")], 1, "/bin/echo", 5, ["ran"])
    done = subprocess.run(argv, env=environment(), capture_output=True, check=False)
    assert done.returncode == 125
    assert b"ran" not in done.stdout
