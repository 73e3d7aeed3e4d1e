"""A quick round and a quick control, so that every run of the suite proves the harness itself.

`make faults` plays all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.building import world
from tests.faults.campaign import play_control, play_fault
from tests.faults.catalog import CONTROLS, FAULTS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


async def test_a_killed_worker_costs_nothing_but_time(registry_url: str, tmp_path: Path) -> None:
    (fault,) = (each for each in FAULTS if each.name.startswith("worker killed"))
    async with world(registry_url, tmp_path / "faults") as made:
        row = await play_fault(made, "f", fault, rounds=1, blows=1, chained=True)
    assert row.verdict.violations == []
    assert row.audit_exit == 0
    assert row.struck.attempts, "the fault struck nothing"


async def test_control_without_deadline_and_epoch_check_a_stopped_worker_gives_a_second_result(
    registry_url: str, tmp_path: Path
) -> None:
    (control,) = (each for each in CONTROLS if each.guard == "worker's deadline and epoch check")
    row = await play_control(registry_url, tmp_path / "control", control, chained=False)
    assert row.verdict.doubled
