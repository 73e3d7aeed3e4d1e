"""Taking files out of a workspace that somebody else fills."""

import os
import threading
import time
from contextlib import suppress

import pytest

from penstock.artifacts import ArtifactStore
from penstock.errors import PayloadTooLarge, WorkspaceRefused
from penstock_services.workspaces import artifacts, keep_artifacts
from penstock_services.workspaces.artifacts import matching
from penstock_services.workspaces.beneath import read_beneath


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "workspace"
    (folder / "out").mkdir(parents=True)
    (folder / "out" / "a.csv").write_text("1")
    (folder / "b.csv").write_text("22")
    (folder / ".tmp").mkdir()
    (folder / ".tmp" / "c.csv").write_text("333")
    return folder


def paths(found) -> list[str]:
    return [file.path for file in found]


def test_files_match_by_their_path_and_hidden_ones_never(workspace):
    assert paths(matching(workspace, ["*.csv"])) == ["b.csv", "out/a.csv"]
    assert paths(matching(workspace, ["out/*"])) == ["out/a.csv"]


@pytest.mark.parametrize("pattern", ["", "/etc/passwd", "../*", "a/../../b", "a\0b"])
def test_a_pattern_that_leads_out_is_refused(workspace, pattern):
    with pytest.raises(WorkspaceRefused, match="leads out"):
        matching(workspace, [pattern])


async def test_links_devices_and_pipes_are_never_taken(workspace, tmp_path):
    (tmp_path / "secret.csv").write_text("secret")
    os.symlink(tmp_path / "secret.csv", workspace / "link.csv")
    os.symlink(tmp_path, workspace / "folder")
    os.mkfifo(workspace / "pipe.csv")
    os.link(workspace / "b.csv", workspace / "hard.csv")
    kept = await keep_artifacts(workspace, ["*"], ArtifactStore(str(tmp_path / "store")))
    assert [k.path for k in kept] == ["out/a.csv"]


async def test_the_same_bytes_are_kept_once(workspace, tmp_path):
    (workspace / "out" / "same.csv").write_text("1")
    kept = await keep_artifacts(workspace, ["out/*"], ArtifactStore(str(tmp_path / "store")))
    assert [k.path for k in kept] == ["out/a.csv", "out/same.csv"]
    assert kept[0].ref == kept[1].ref


def test_too_many_and_too_large_are_refused(workspace, monkeypatch):
    monkeypatch.setattr(artifacts, "MAX_FILES", 1)
    with pytest.raises(WorkspaceRefused, match="2 files match"):
        matching(workspace, ["*.csv"])
    monkeypatch.setattr(artifacts, "MAX_FILES", 10)
    monkeypatch.setattr(artifacts, "MAX_TOTAL_BYTES", 2)
    with pytest.raises(PayloadTooLarge, match="have 3 bytes"):
        matching(workspace, ["*.csv"])


def test_a_folder_swapped_for_a_link_while_it_is_read_never_leads_out(workspace, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.csv").write_text("secret")
    (workspace / "folder").mkdir()
    (workspace / "folder" / "a.csv").write_text("1")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(workspace / "folder", workspace / "aside")
            os.symlink(outside, workspace / "folder")
            os.unlink(workspace / "folder")
            os.rename(workspace / "aside", workspace / "folder")

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen, plain = set(), set()
    rounds, give_up_at = 0, time.monotonic() + 30
    while (rounds < 3_000 or not seen or b"secret" not in plain) and time.monotonic() < give_up_at:
        rounds += 1
        with suppress(OSError, WorkspaceRefused):
            seen.add(read_beneath(workspace, "folder/a.csv", 100))
        with suppress(OSError):
            plain.add((workspace / "folder" / "a.csv").read_bytes())  # the control: what a plain open gives
    over.set()
    swapping.join()
    assert seen == {b"1"}
    assert b"secret" in plain
