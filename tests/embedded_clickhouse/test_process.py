"""Starting, being killed, and the folder: one clear line and an exit code, and no acknowledged row lost."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.embedded_clickhouse.test_streaming import open_client
from tests.fixtures.clickhouse import ClickHouseProcess


def run_to_its_end(folder: Path, *more: str, password: str | None = "secret") -> tuple[int, str]:
    """Start the engine where it must refuse; exit code and last line of stderr."""
    password_file = folder.parent / "a_password"
    if password is not None:
        password_file.write_text(password)
    command = [sys.executable, "-m", "penstock_services.embedded.clickhouse", "--path", str(folder)]
    command += ["--password-file", str(password_file), *(more or ("--port", "0"))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr.strip().splitlines()[-1]


def test_it_says_that_it_is_a_development_engine_and_stops_cleanly(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path)
    assert "a development engine" in server.log.read_text()
    assert server.stop() == 0


def test_a_second_process_on_the_folder_is_told_which(tmp_path: Path) -> None:
    first = ClickHouseProcess(tmp_path)
    code, line = run_to_its_end(first.data)
    assert (code, str(first.data) in line) == (1, True)
    assert "another process" in line
    assert open_client(first.settings).command("SELECT 1") == 1
    first.stop()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_text("x")
    code, line = run_to_its_end(folder)
    assert (code, "holiday.jpg" in line) == (1, True)
    assert [p.name for p in folder.iterdir()] == ["holiday.jpg"]


def _damage_marker(folder: Path) -> None:
    (folder / "penstock-clickhouse.json").write_text("{")


def _other_layout(folder: Path) -> None:
    (folder / "penstock-clickhouse.json").write_text(json.dumps({"engine": "chdb", "format": 99}))


def _half_written_metadata(folder: Path) -> None:
    (folder / "metadata" / "penstock.sql").write_text("ATTACH DATAB")


@pytest.fixture(scope="module")
def used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    server = ClickHouseProcess(tmp_path_factory.mktemp("used"))
    open_client(server.settings).command("CREATE TABLE penstock.t (a Int64) ENGINE = MergeTree ORDER BY a")
    server.stop()
    return server.data


@pytest.mark.parametrize("damage", [_damage_marker, _other_layout, _half_written_metadata])
def test_a_damaged_folder_is_named(used_folder: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "data"
    shutil.copytree(used_folder, folder, symlinks=True)
    damage(folder)
    code, line = run_to_its_end(folder)
    assert (code, str(folder) in line) == (1, True)


def test_a_start_that_died_before_the_engine_made_anything_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "penstock-clickhouse.json.new").write_text("{")
    ClickHouseProcess(tmp_path).stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_only_loopback_is_served(tmp_path: Path, host: str) -> None:
    code, line = run_to_its_end(tmp_path / "data", "--port", "0", "--host", host)
    assert (code, host in line) == (2, True)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, line = run_to_its_end(tmp_path / "data", "--port", port)
    assert (code, port in line) == (1, True)


@pytest.mark.parametrize("password", ["", "\n", None])
def test_it_never_runs_without_a_password(tmp_path: Path, password: str | None) -> None:
    code, line = run_to_its_end(tmp_path / "data", password=password)
    assert (code, "password file" in line) == (2, True)
