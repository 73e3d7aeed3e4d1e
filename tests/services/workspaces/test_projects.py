"""Filling a workspace from a project store."""

import os
from pathlib import Path

import fsspec
import pytest

from penstock.errors import InvalidInput, ProjectStoreUnreachable, QuotaExceeded, WorkspaceRefused
from penstock_services.workspaces import ProjectStore

SPARSE_BYTES = 200 * 1024 * 1024
"""Below the limit of one file, and nothing on the disk."""


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "store" / "acme" / "site"
    (folder / "src").mkdir(parents=True)
    (folder / "README").write_text("hello")
    (folder / "src" / "main.py").write_text("print(1)")
    return folder


@pytest.fixture
def store(tmp_path, project) -> ProjectStore:
    return ProjectStore(str(tmp_path / "store"))


@pytest.fixture
def workspace(tmp_path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 2_000_000_123, 2_000_000_123)
    return folder


def test_a_projects_files_are_the_workspaces_users(store, workspace):
    assert store.fill(workspace, "acme", "site") == 2
    assert (workspace / "src" / "main.py").read_text() == "print(1)"
    assert {path.stat().st_uid for path in workspace.rglob("*")} == {workspace.stat().st_uid}


def test_a_link_within_the_project_is_followed(store, workspace, project):
    os.symlink("../README", project / "src" / "same")
    store.fill(workspace, "acme", "site")
    assert (workspace / "src" / "same").read_text() == "hello"
    assert not (workspace / "src" / "same").is_symlink()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../other/site/x", "/etc", ".", "missing"])
def test_a_link_out_of_the_project_or_round_in_circles_is_refused(store, workspace, project, target):
    os.symlink(target, project / "src" / "link")
    with pytest.raises(WorkspaceRefused, match="src/link"):
        store.fill(workspace, "acme", "site")
    assert list(workspace.iterdir()) == []


def test_what_is_no_plain_file_is_refused(store, workspace, project):
    os.mkfifo(project / "fifo")
    with pytest.raises(WorkspaceRefused, match="fifo"):
        store.fill(workspace, "acme", "site")
    assert list(workspace.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_a_device_is_refused(store, workspace, project):
    os.mknod(project / "disk", 0o600 | 0o020000, os.makedev(1, 3))
    with pytest.raises(WorkspaceRefused, match="disk"):
        store.fill(workspace, "acme", "site")


def test_a_project_larger_than_what_is_left_is_refused_before_anything_is_copied(store, workspace, project):
    room = os.statvfs(workspace)
    free_bytes = room.f_bavail * room.f_frsize
    for n in range(free_bytes // SPARSE_BYTES + 1):
        with open(project / f"sparse-{n}", "wb") as file:
            file.truncate(SPARSE_BYTES)
    with pytest.raises(QuotaExceeded, match="'site' needs"):
        store.fill(workspace, "acme", "site")
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("project_id", ["../other", "..", "a/b", "", "a\0b", "x" * 300, "сite"])
def test_an_id_that_leads_elsewhere_is_refused(store, workspace, project_id):
    with pytest.raises(WorkspaceRefused):
        store.fill(workspace, "acme", project_id)


def test_another_tenants_project_is_not_there(store, workspace):
    with pytest.raises(WorkspaceRefused, match="there is no project 'site'"):
        store.fill(workspace, "umbrella", "site")


def test_any_store_of_fsspec_will_do(workspace):
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/projects/acme/site/a/b.txt", b"from memory")
    assert ProjectStore("memory://projects").fill(workspace, "acme", "site") == 1
    assert (workspace / "a" / "b.txt").read_bytes() == b"from memory"


def test_a_store_that_cannot_be_read_is_named(workspace):
    with pytest.raises(ProjectStoreUnreachable, match="PENSTOCK_SANDBOX_PROJECTS_URL"):
        ProjectStore("http://127.0.0.1:9/projects").fill(workspace, "acme", "site")


def test_a_scheme_without_a_package_is_refused_at_once():
    with pytest.raises(InvalidInput, match="PENSTOCK_SANDBOX_PROJECTS_URL"):
        ProjectStore("nosuch://x")
