"""The second run of what failed: seldom, named, and never of what proves exactness."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.second_run import AT_MOST, PROOFS, TESTS

ROOT = Path(__file__).parent.parent
CONFTEST = """\
from tests.second_run import SecondRuns

def pytest_configure(config):
    config.pluginmanager.register(SecondRuns())
"""
TEST = """\
import pytest
from tests.second_run import counts_at_once

failed = set()

{mark}
@pytest.mark.parametrize("number", range({tests}))
def test_it(number):
    if number not in failed:
        failed.add(number)
        raise AssertionError(f"the first run of {{number}}")
"""


def suite(folder: Path, tests: int, mark: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TEST.format(tests=tests, mark=mark))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--reruns",
        "1",
        "-o",
        f"pythonpath={ROOT}",
        "--rootdir",
        folder,
        ".",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_one_that_fails_once_passes_and_is_named_with_its_first_failure(tmp_path: Path) -> None:
    done = suite(tmp_path, 1)
    assert done.returncode == 0, done.stdout
    assert "failed once, and were run again" in done.stdout
    assert "the first run of 0" in done.stdout
    assert "1 passed, 1 rerun" in done.stdout


def test_more_than_a_few_fail_the_suite(tmp_path: Path) -> None:
    assert suite(tmp_path, AT_MOST).returncode == 0
    done = suite(tmp_path, AT_MOST + 1)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"4 needed a second run, more than {AT_MOST}: that fails" in done.stdout


def test_what_counts_at_once_has_no_second_run(tmp_path: Path) -> None:
    done = suite(tmp_path, 1, mark="@counts_at_once")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed in" in done.stdout


def test_no_folder_of_proofs_was_renamed_out_of_the_list() -> None:
    assert [name for name in PROOFS if not (TESTS / name).is_dir()] == []
