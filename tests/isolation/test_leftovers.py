"""Runs leave nothing on the host, and a killed worker nothing that the reaper does not remove.

`python -m tests.isolation --runs 1000 --killed 200` is the same with the numbers of the promise.
"""

from __future__ import annotations

from tests.isolation.leftovers import kill_workers
from tests.isolation.place import Place


def test_killed_workers_leave_no_process_mount_group_workspace_image_or_loop_device(place: Place) -> None:
    counts = kill_workers(runs=14, killed=4)

    assert counts["killed workers"] == 4
    left = {name: count for name, count in counts.items() if name.startswith("left: ")}
    assert left
    assert not any(left.values()), left


def test_without_the_reaper_a_killed_worker_leaves_its_workspace(place: Place) -> None:
    counts = kill_workers(runs=1, killed=1, reaping=False)

    assert counts["left: workspaces"] == counts["left: mounts"] == counts["left: images"] == 1
