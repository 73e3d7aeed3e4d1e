"""Workspaces: made, held to their tenant's quota, removed, and reaped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import SandboxUnavailable, WorkspaceError, WorkspaceRefused
from penstock_services.sandbox.cgroups import prepared_hierarchy
from penstock_services.workspaces import Workspaces, reap
from penstock_services.workspaces.names import checked, folder_of
from tests.fixtures.sandbox import missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
MIB = 1024 * 1024
BAD_NAMES = [
    *("", ".", "..", ".hidden", "a/b", "/a", "../a", "a\0b", "x" * 129, "x" * 300, "a b", "a\n"),
    *("асme", "ａｃｍｅ", "acme\u200b", "-a", "_penstock", "a:b"),
]


@pytest.fixture
def workspaces(sandbox_folder, request) -> Workspaces:
    return Workspaces(sandbox_folder / "workspaces")


def left(folder: Path) -> list[str]:
    base = folder / "workspaces"
    files = [str(path) for path in base.rglob("*") if path.name not in (".volumes", ".owners", ".locks")]
    return files + [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(base) in line]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_an_id_that_could_lead_elsewhere_names_no_folder(name):
    with pytest.raises(WorkspaceRefused, match="cannot name a folder"):
        checked("tenant", name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_and_makes_none(workspaces, sandbox_folder, name):
    with pytest.raises(WorkspaceRefused):
        workspaces.create(name, "e-1", quota_bytes=16 * MIB, uid=7)
    with pytest.raises(WorkspaceRefused):
        workspaces.create("acme", name, quota_bytes=16 * MIB, uid=7)
    assert left(sandbox_folder) == []


def test_executions_of_any_id_have_folders_and_no_two_the_same():
    ids = ["e-1", "../e-1", "e/1", "x" * 256, "е-1", "e-1.1"]
    assert folder_of("e-1", 2) == "e-1.2"
    assert len({folder_of(id_, epoch) for id_ in ids for epoch in (1, 2)}) == 2 * len(ids)
    assert all(checked("execution", folder_of(id_, 1)) for id_ in ids)


def test_a_workspace_is_its_users_alone_and_leaves_nothing(workspaces, sandbox_folder):
    made = workspaces.create("acme", "e-1", quota_bytes=16 * MIB, uid=2_000_000_123)
    found = made.path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (2_000_000_123, 2_000_000_123, 0o700)
    assert made.path == sandbox_folder / "workspaces" / "acme" / "e-1"
    workspaces.remove("acme", "e-1")
    assert left(sandbox_folder) == []


def test_another_tenants_user_can_neither_list_nor_enter(workspaces):
    made = workspaces.create("acme", "e-1", quota_bytes=16 * MIB, uid=2_000_000_123)
    (made.path / "secret").write_text("x")
    for target in (made.path, made.path / "secret", made.path.parent, made.path.parent.parent):
        done = subprocess.run(
            ["/bin/ls", str(target)], user=2_000_000_124, group=2_000_000_124, capture_output=True
        )
        assert b"Permission denied" in done.stderr
    workspaces.remove("acme", "e-1")


def test_the_quota_is_over_all_workspaces_of_a_tenant(workspaces, sandbox_folder):
    first = workspaces.create("acme", "e-1", quota_bytes=16 * MIB, uid=7)
    second = workspaces.create("acme", "e-2", quota_bytes=16 * MIB, uid=8)
    other = workspaces.create("umbrella", "e-1", quota_bytes=16 * MIB, uid=9)
    written = fill(first.path) + fill(second.path)
    assert 12 * MIB < written <= 16 * MIB
    assert fill(other.path) > 12 * MIB
    image = sandbox_folder / "workspaces" / ".volumes" / "acme.img"
    assert image.stat().st_size == 16 * MIB
    assert image.stat().st_blocks * 512 <= 16 * MIB
    for made in (first, second, other):
        workspaces.remove(made.tenant, made.name)
    assert left(sandbox_folder) == []


def fill(folder: Path) -> int:
    """Write until nothing more fits; returns the bytes."""
    written = 0
    with open(folder / "big", "wb", buffering=0) as file:
        try:
            while True:
                written += file.write(b"x" * 4096)
        except OSError:
            return written


def test_a_workspace_that_exists_is_not_given_twice(workspaces):
    workspaces.create("acme", "e-1", quota_bytes=16 * MIB, uid=7)
    with pytest.raises(WorkspaceRefused, match="exists already"):
        workspaces.create("acme", "e-1", quota_bytes=16 * MIB, uid=8)
    workspaces.remove("acme", "e-1")
    workspaces.remove("acme", "e-1")


def test_folders_deeper_than_any_path_go_with_their_workspace(workspaces, sandbox_folder):
    made = workspaces.create("acme", "e-1", quota_bytes=64 * MIB, uid=7)
    workspaces.create("acme", "e-2", quota_bytes=64 * MIB, uid=8)
    fd = os.open(made.path, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    workspaces.remove("acme", "e-1")
    assert not made.path.exists()
    workspaces.remove("acme", "e-2")
    assert left(sandbox_folder) == []


def test_a_volume_that_cannot_be_made_is_said_and_leaves_nothing(workspaces, sandbox_folder):
    with pytest.raises(WorkspaceError, match=r"mkfs\.ext4"):
        workspaces.create("acme", "e-1", quota_bytes=1, uid=7)
    assert left(sandbox_folder) == []


def test_what_a_process_that_is_gone_made_is_reaped_and_what_a_living_one_made_is_not(workspaces, sandbox_folder):
    base = sandbox_folder / "workspaces"
    program = (
        "from pathlib import Path; from penstock_services.workspaces import Workspaces\n"
        f"made = Workspaces(Path({str(base)!r}))\n"
        f"for tenant in ('acme', 'other'): made.create(tenant, 'gone', quota_bytes={16 * MIB}, uid=7)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    workspaces.create("acme", "alive", quota_bytes=16 * MIB, uid=8)
    assert reap(prepared_hierarchy(), workspaces).workspaces == 2
    assert not (base / "acme" / "gone").exists()
    assert not (base / "other").exists()
    assert (base / "acme" / "alive").exists()
    workspaces.remove("acme", "alive")
    assert left(sandbox_folder) == []


def test_a_crash_before_the_volume_was_mounted_is_reaped_too(workspaces, sandbox_folder):
    base = sandbox_folder / "workspaces"
    (base / ".owners" / "acme").mkdir()
    (base / ".owners" / "acme" / "e-1").write_text("0.0")  # whoever wrote that
    (base / ".volumes" / "acme.img").write_bytes(b"half")
    assert reap(prepared_hierarchy(), workspaces).workspaces == 1
    assert left(sandbox_folder) == []


def test_a_base_that_is_closed_or_no_folder_is_named(tmp_path):
    with pytest.raises(SandboxUnavailable, match=r"is closed to other users; chmod o\+x"):
        Workspaces(tmp_path / "base")  # pytest's own folders are 0700
    (tmp_path / "file").touch()
    with pytest.raises(SandboxUnavailable, match="PENSTOCK_SANDBOX_FOLDER"):
        Workspaces(tmp_path / "file" / "base")
