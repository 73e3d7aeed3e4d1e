"""Wrong clocks are wrong as told, also in processes that a process starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.skew import Clocks, clocks_in
from tests.faults.world import ROOT

SAY = "import time; print(time.time(), time.time_ns() / 1e9, time.clock_gettime(time.CLOCK_BOOTTIME))"
SAY_IN_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SAY!r}], check=True)"


@pytest.mark.parametrize("code", [SAY, SAY_IN_CHILD])
@pytest.mark.parametrize("clocks", [Clocks(600.0, 2.0), Clocks(-600.0, 0.5), Clocks()])
def test_a_process_and_its_children_have_the_clocks_it_was_started_with(
    tmp_path: Path, clocks: Clocks, code: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import tests.faults.skew\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    wall_s, boot_s = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **clocks.environment()},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert [float(each) for each in said] == pytest.approx(
        [wall_s + clocks.wall_ahead_s, wall_s + clocks.wall_ahead_s, boot_s * clocks.boot_rate], abs=60
    )


def test_clocks_survive_the_environment() -> None:
    assert clocks_in(Clocks(-600.0, 0.95).environment()) == Clocks(-600.0, 0.95)
    assert clocks_in({}) == Clocks()
