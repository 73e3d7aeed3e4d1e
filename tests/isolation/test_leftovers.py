"""Runs leave nothing on the host, and a killed worker nothing that the reaper does not remove.

`python -m tests.isolation --runs 1000 --killed 200` is the same with the numbers of the promise.
"""

from __future__ import annotations

from tests.isolation.leftovers import kill_networked_worker, kill_workers
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


def test_of_a_killed_workers_network_the_next_start_leaves_nothing(place: Place) -> None:
    assert not any(kill_networked_worker(place.outside).values())


def test_without_the_reaper_a_network_whose_holder_does_not_run_stays(place: Place) -> None:
    counts = kill_networked_worker(place.outside, reaping=False)

    assert counts["left: network namespaces"] == counts["left: tables of rules"] == 1
    assert counts["left: processes"] >= 2  # pasta and the holder
    assert counts["left: control groups"] == 2  # the command's and its network's
