"""The command line where no server is needed: help, version, bad input, missing extras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from penstock.cli import app as cli
from penstock.cli import extensions
from penstock.errors import MissingExtra

ENV = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")} | {
    "PENSTOCK_HOME": os.devnull,
    "COLUMNS": "100",
}


def penstock(*arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *arguments], input=stdin, env=ENV | env, capture_output=True, timeout=60
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_help_is_one_screen_in_groups():
    done = penstock("--help")
    assert done.returncode == 0
    assert [g for g in re.findall(r"─ (\w+) ─", done.stdout) if g != "Options"] == [
        "Stack",
        "Runs",
        "Money",
        "Processes",
        "Conversations",
        "Operate",
    ]
    assert len(done.stdout.splitlines()) < 60
    assert "Exit codes" in done.stdout


def test_every_extension_is_listed_under_the_names_of_its_entry_point():
    """The entry point's name is how a command line finds what to load."""
    for extension in entry_points(group=extensions.GROUP):
        app = typer.Typer()
        extension.load()(app)
        names = {c.name or (c.callback and c.callback.__name__) for c in app.registered_commands}
        names |= {group.name for group in app.registered_groups}
        assert names == set(extension.name.split(".")), extension
        assert names <= set(cli.PANEL_OF), f"{extension.name} needs a panel in --help"


def test_version_is_printed():
    assert penstock("--version").stdout.startswith("penstock 0.")


def test_no_command_shows_the_help_and_exits_2():
    done = penstock()
    assert done.returncode == 2
    assert "watch" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("run", "echo", "--input", "x", "--tenant", "a/b"), "'a/b'"),
        (("run", "echo", "--input", "x", "--tenant", "x" * 10_000), "10002 characters"),
        (("run", "echo", "--input", "x", "--max-tokens", "-5"), "-5"),
        (("run", "echo", "--input", "x", "--timeout", "0"), "timeout_s 0"),
        (("run", "echo", "--input", "x", "--max-attempts", "0"), "max_attempts 0"),
        (("chat", "send", "hello", "--user", "ann", "--max-attempts", "-1"), "max_attempts -1"),
        (("run", "echo", "--input", "x", "--max-tokens", "many"), "--max-tokens"),
        (("run", "no agent", "--input", "x"), "'no agent'"),
        (("run", "echo", "--input", "@/no/such/file"), "/no/such/file"),
        (("run", "echo", "--input", "@/"), "Is a directory"),
        (("run", "echo"), "--input"),
        (("bill", "acme", "--month", "november"), "'november'"),
        (("bill", "acme", "--month", "2026-13"), "'2026-13'"),
        (
            ("bill", "acme", "--month", "2026-11", "--from", "2026-11-01", "--to", "2026-11-02"),
            "--month and --from",
        ),
        (("bill", "acme", "--from", "2026-11-01"), "give both"),
        (("bill", "acme", "--to", "2026-11-01"), "give both"),
        (
            ("bill", "acme", "--from", "2026-11-02", "--to", "2026-11-02"),
            "2026-11-02T00:00:00+00:00: must be after",
        ),
        (("bill", "acme", "--from", "2026-11-31", "--to", "2026-12-01"), "--from '2026-11-31'"),
        (("bill", "acme", "--from", "2026-11-01", "--to", "0001-01-01T00:00+09:00"), "--to '0001-01-01"),
        (("bill", "acme", "--json", "--csv"), "--json and --csv"),
        (("bill", "acme", "--user", ""), "user ''"),
        (("audit", "--reservations", "--month", "2026-11"), "--month"),
        (("list", "--status", "lost"), "'lost'"),
        (("list", "--limit", "0"), "limit 0"),
        (("tenants", "set", "acme", "--tier", "pro", "--concurrency", "-1"), "-1"),
        (("tenants", "set", "_penstock", "--tier", "pro"), "reserved"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_bad_input_exits_2_and_names_the_value(
    arguments: tuple[str, ...], names: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["penstock", *arguments])  # in this process: a new one takes a second
    monkeypatch.setenv("PENSTOCK_HOME", os.devnull)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert names in capsys.readouterr().err


def test_input_that_is_not_utf8_is_refused_with_the_place(tmp_path: Path):
    file = tmp_path / "latin1.txt"
    file.write_bytes(b"caf\xe9")
    for done in (
        penstock("run", "echo", "--input", f"@{file}"),
        penstock("run", "echo", "--input", "-", stdin=b"\xff"),
    ):
        assert done.returncode == 2
        assert "is not UTF-8 text (byte 0x" in done.stderr


def test_a_setting_that_cannot_be_used_is_named():
    done = penstock("bill", "acme", PENSTOCK_CLICKHOUSE_PORT="eighty")
    assert done.returncode == 2
    assert "PENSTOCK_CLICKHOUSE_PORT 'eighty'" in done.stderr


def test_a_command_whose_packages_are_missing_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch):
    broken = EntryPoint("launch.land", "no_such_package.commands:register", extensions.GROUP)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [broken])
    for command in ("launch", "land"):
        result = CliRunner().invoke(cli.build([command]), [command, "--any", "option"])
        assert isinstance(result.exception, MissingExtra)
        assert f"penstock {command}" in str(result.exception)
        assert "pip install 'penstock[all]'" in str(result.exception)


def test_only_the_extension_that_is_asked_for_is_loaded(monkeypatch: pytest.MonkeyPatch):
    def never(self: EntryPoint) -> None:
        raise AssertionError(f"{self.name} was loaded")

    monkeypatch.setattr(EntryPoint, "load", never)
    cli.build(["run", "echo"])
    with pytest.raises(AssertionError, match=r"audit was loaded"):  # control
        cli.build(["audit"])


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m penstock schemas check --offline --json | true"
    done = subprocess.run(["bash", "-c", command], env=ENV, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_importing_the_sdk_loads_no_server_library():
    heavy = (
        "import sys, penstock; print([m for m in ('aiokafka', 'clickhouse_connect', 'faust') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
