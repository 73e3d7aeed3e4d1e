"""Room for workspaces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_consumers.worker.room import Room
from tests.faults.mounts import SIZE_BYTES, MountRefused, fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    try:
        with small_disk(tmp_path / "disk") as folder:
            yield folder
    except MountRefused as exc:
        pytest.skip(f"no file system to fill: {exc}")


def test_with_room_nothing_is_lacking(disk: Path) -> None:
    assert Room([disk], SIZE_BYTES // 2).lacking() is None


def test_a_full_disk_is_named_with_what_sets_the_limit(disk: Path) -> None:
    fill(disk)
    reason = Room([disk], 1).lacking() or ""
    assert str(disk) in reason
    assert "PENSTOCK_WORKER_MIN_FREE_BYTES" in reason


def test_of_several_folders_the_full_one_is_named(disk: Path, tmp_path: Path) -> None:
    fill(disk)
    reason = Room([tmp_path, disk], 1).lacking() or ""
    assert f"0 bytes free at {disk}," in reason
    assert f"free at {tmp_path}," not in reason


async def test_whoever_waits_for_room_goes_on_once_there_is_some(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = fill(disk)
    waiting = asyncio.create_task(Room([disk], 4096).until_enough())
    async with asyncio.timeout(30):
        while not caplog.records:
            await asyncio.sleep(0)
        assert not waiting.done()
        full.unlink()
        await waiting
    assert "disk full" in caplog.messages[0]
