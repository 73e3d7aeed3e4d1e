"""`penstock up`, `status`, `doctor` and `down` with the real servers."""

from __future__ import annotations

import json
import os
import signal
import stat

import pytest
from dotenv import dotenv_values

from tests.embedded.conftest import Home, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def test_the_life_of_a_stack(home: Home) -> None:
    up = home.penstock("up", "--ports", "auto", "--servers-only")
    assert up.returncode == 0, up.stderr

    # Status: everything healthy, with pid, port, memory and restarts.
    status = home.status()
    assert status["phase"] == "running"
    processes = {process["name"]: process for process in status["processes"]}
    assert set(processes) == {"kafka", "registry", "clickhouse"}
    assert all(process["state"] == "healthy" and process["pid"] for process in processes.values())
    assert 100_000_000 < status["rss_bytes"] < 2_500_000_000

    # The published addresses are for this user only.
    addresses = home.path / "stack.env"
    assert stat.S_IMODE(addresses.stat().st_mode) == 0o600
    assert dotenv_values(addresses)["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"] == (
        f"127.0.0.1:{processes['kafka']['ports']['kafka']}"
    )
    doctor = json.loads(home.penstock("doctor", "--json").stdout)
    assert {f["check"]: f["result"] for f in doctor}["kafka answers"] == "ok"

    # A second `up` in the same folder is refused by name and changes nothing.
    before = home.processes()
    again = home.penstock("up", "--ports", "auto", "--servers-only")
    assert again.returncode == 1
    assert f"pid {before['supervisor'].pid}" in again.stderr
    assert home.processes() == before

    # A killed server is started again.
    os.kill(before["kafka"].pid, signal.SIGKILL)
    eventually(lambda: home.processes()["kafka"] != before["kafka"])
    eventually(lambda: home.run_file()["processes"][0]["state"] == "healthy", within_s=60)
    assert home.run_file()["processes"][0]["restarts"] == 1

    # Nothing outlives a supervisor that is killed.
    last = home.processes()
    os.kill(last["supervisor"].pid, signal.SIGKILL)
    eventually(lambda: not any(process.is_alive() for process in last.values()))
    assert home.status()["phase"] == "supervisor killed"

    # `down` clears what it left; again it does nothing; the data is still there.
    assert home.penstock("down").returncode == 0
    assert not (home.path / "run.json").exists()
    assert not addresses.exists()
    twice = home.penstock("down")
    assert twice.returncode == 0
    assert "nothing was running" in twice.stderr
    assert (home.path / "kafka").exists()

    # The same data and the same ports at the next start; `down` then stops a living stack.
    up = home.penstock("up", "--servers-only")
    assert up.returncode == 0, up.stderr
    living = home.processes()
    assert home.run_file()["processes"][0]["ports"] == processes["kafka"]["ports"]
    assert home.penstock("down").returncode == 0
    assert not any(process.is_alive() for process in living.values())
    assert home.penstock("down", "--purge", "--yes").returncode == 0
    assert not home.path.exists()


def test_a_server_that_cannot_start_ends_the_start_with_the_end_of_its_log(home: Home) -> None:
    home.path.mkdir()
    (home.path / "clickhouse").write_text("not a folder")
    (home.path / "layout.json").write_text('{"version": 1}')
    up = home.penstock("up", "--ports", "auto", "--servers-only")
    assert up.returncode == 1
    assert "clickhouse" in up.stderr
    assert "clickhouse.log" in up.stderr
    assert not any(process.is_alive() for process in home.processes().values())
    assert not (home.path / "stack.env").exists()
