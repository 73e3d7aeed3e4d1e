"""Control groups of both versions; version 2 on files of these tests' own where the host limits by version 1."""

import os
import subprocess
from pathlib import Path

import pytest

from penstock.errors import SandboxUnavailable
from penstock_services.sandbox.cgroups import Counts, Hierarchy, find_hierarchy, prepared_hierarchy
from penstock_services.sandbox.owners import Owner, this_process
from tests.fixtures.sandbox import missing

real = pytest.mark.skipif(missing() is not None, reason=str(missing()))
V1 = "\n".join(f"cgroup /cg/{name} cgroup rw,{name} 0 0" for name in ("memory", "pids", "cpuacct", "freezer"))


def v2(tmp_path: Path, controllers: str) -> str:
    (tmp_path / "cgroup.controllers").write_text(controllers)
    return f"cgroup2 {tmp_path} cgroup2 rw 0 0"


def test_version_2_limits_where_it_has_memory_and_processes(tmp_path):
    found = find_hierarchy(v2(tmp_path, "cpuset cpu io memory pids\n"))
    assert (found.version, found.folders) == (2, [tmp_path / "penstock"])


def test_a_hybrid_host_limits_by_version_1_and_uses_version_2_too(tmp_path):
    found = find_hierarchy(f"{V1}\n{v2(tmp_path, '')}")
    assert (found.version, found.v2) == (1, tmp_path)
    assert Path("/cg/memory/penstock") in found.folders


def test_controllers_may_share_a_mount():
    found = find_hierarchy("cgroup /cg/all cgroup rw,memory,pids,cpuacct,freezer 0 0")
    assert found.folders == [Path("/cg/all/penstock")]


def test_a_host_without_them_is_named(tmp_path):
    with pytest.raises(SandboxUnavailable, match="memory, pids, cpuacct, freezer"):
        find_hierarchy(v2(tmp_path, "cpuset\n"))


def test_version_2_gets_its_limits_and_gives_its_counts(tmp_path):
    hierarchy = Hierarchy(v2=tmp_path)
    group = hierarchy.group(this_process(), memory_bytes=1 << 28, processes=7)
    folder = group.folders[0]
    assert (folder / "memory.max").read_text() == str(1 << 28)
    assert (folder / "pids.max").read_text() == "7"
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (folder / "memory.peak").write_text("4096\n")
    (folder / "memory.events").write_text("low 0\nmax 9\noom 2\noom_kill 1\n")
    (folder / "pids.events").write_text("max 3\n")
    assert group.counts() == Counts(2.5, 4096, 1, 3)


def test_version_2_kills_by_one_write(tmp_path):
    group = Hierarchy(v2=tmp_path).group(this_process(), memory_bytes=1 << 28, processes=7)
    (group.folders[0] / "cgroup.kill").write_text("")
    group.kill()
    assert (group.folders[0] / "cgroup.kill").read_text() == "1"


@real
@pytest.mark.parametrize("with_version_2", [True, False])
def test_everything_in_a_group_is_killed_however_it_detached(with_version_2):
    found = prepared_hierarchy()
    hierarchy = found if with_version_2 or found.version == 2 else Hierarchy(found.v1, None)
    group = hierarchy.group(this_process(), memory_bytes=1 << 28, processes=50)
    enter = "; ".join(f"echo 0 > {entrance}" for entrance in group.entrances)
    script = f"{enter}; for n in 1 2 3; do setsid sleep 1000 & done; exec sleep 1000"
    process = subprocess.Popen(["/bin/sh", "-c", script])
    while len(group.processes()) < 4:
        os.sched_yield()
    group.kill()
    process.wait(timeout=10)
    assert group.empty()
    assert group.remove()
    assert not any(folder.exists() for folder in group.folders)


@real
def test_a_group_is_ours_only_while_its_maker_lives():
    group = prepared_hierarchy().group(this_process(), memory_bytes=1 << 28, processes=7)
    owner = Owner.parse(group.name)
    assert owner is not None
    assert not owner.gone
    assert group.remove()


def test_an_owner_is_told_from_a_later_process_of_the_same_number():
    me = this_process()
    assert Owner.parse(f"{me.name}.17") == me
    assert not me.gone
    assert Owner(me.pid_namespace, me.pid, me.started_ticks + 1).gone
    assert not Owner(me.pid_namespace + 1, me.pid, 0).gone  # another container's: not ours to judge
    assert Owner.parse("user.slice") is None


def test_a_process_that_ended_is_gone():
    process = subprocess.Popen(["true"])
    me = this_process()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert Owner(me.pid_namespace, process.pid, 1).gone  # as a zombie, too
    process.wait()
    assert Owner(me.pid_namespace, process.pid, 1).gone
