"""`down` after a supervisor that was killed: what it left is named in `run.json`."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from penstock_services.embedded.down import Stopped, stop
from penstock_services.embedded.identity import ProcessIdentity, boot_id
from penstock_services.embedded.run_file import Identity, ProcessReport, RunReport
from penstock_services.embedded.state import StateFolder


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """The folder of a stack whose supervisor is gone."""
    found = StateFolder(tmp_path)
    found.lock_file.touch()
    found.stack_env.write_text("PENSTOCK_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1\n")
    return found


@pytest.fixture
def orphan() -> ProcessIdentity:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return identity


def left_by(folder: StateFolder, process: ProcessIdentity, boot: str) -> None:
    gone = Identity(pid=2**22 - 1, start_ticks=1)
    left = ProcessReport(name="worker", identity=Identity.of(process))
    RunReport(supervisor=gone, boot_id=boot, started_at_s=time.time(), processes=[left]).write(folder.run_file)


def test_what_a_killed_supervisor_left_is_killed_and_its_files_removed(
    folder: StateFolder, orphan: ProcessIdentity
) -> None:
    left_by(folder, orphan, boot_id())
    assert stop(folder) == Stopped(was_running=False, left_over=(orphan.pid,))
    assert not orphan.is_alive()
    assert not folder.stack_env.exists()
    assert stop(folder) == Stopped(was_running=False)


@pytest.mark.parametrize("other_boot", [True, False])
def test_a_process_that_only_has_the_same_pid_is_left_alone(
    folder: StateFolder, orphan: ProcessIdentity, other_boot: bool
) -> None:
    earlier = orphan if other_boot else ProcessIdentity(orphan.pid, orphan.start_ticks - 1)
    left_by(folder, earlier, "another boot" if other_boot else boot_id())
    try:
        assert stop(folder) == Stopped(was_running=False)
        assert orphan.is_alive()
    finally:
        orphan.kill_session()


def test_a_folder_where_nothing_ever_ran_is_left_as_it_is(tmp_path: Path) -> None:
    assert stop(StateFolder(tmp_path / "none")) == Stopped(was_running=False)
    assert not (tmp_path / "none").exists()
