"""Files of runs in a folder of the caller: below it, through no link, over nothing unless asked."""

from pathlib import Path

import pytest

from penstock.errors import InvalidInput
from penstock.saving import check_targets, save


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\0b", "."])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidInput, match="leads out"):
        check_targets(tmp_path, [path], overwrite=True)
    with pytest.raises(InvalidInput, match="leads out"):
        save(tmp_path / "to", path, b"1", overwrite=True)
    assert list(tmp_path.rglob("x")) == []


def test_folders_on_the_way_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    save(tmp_path / "to", "a/b/c.txt", b"1", overwrite=False)
    assert [path.name for path in (tmp_path / "to").rglob("*")] == ["a", "b", "c.txt"]


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("old")
    with pytest.raises(InvalidInput, match="there already, and nothing was written"):
        check_targets(tmp_path, ["new.txt", "c.txt"], overwrite=False)
    with pytest.raises(InvalidInput, match="--force"):
        save(tmp_path, "c.txt", b"new", overwrite=False)
    assert (tmp_path / "c.txt").read_text() == "old"
    save(tmp_path, "c.txt", b"new", overwrite=True)
    assert (tmp_path / "c.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["c.txt"]


def test_no_link_below_the_folder_is_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    folder.mkdir()
    (outside / "c.txt").write_text("mine")
    (folder / "a").symlink_to(outside)
    (folder / "c.txt").symlink_to(outside / "c.txt")
    for path in ("a/new.txt", "a/c.txt"):
        with pytest.raises(InvalidInput, match="cannot be written"):
            save(folder, path, b"1", overwrite=True)
    save(folder, "c.txt", b"1", overwrite=True)  # the link is replaced, not what it points to
    assert (outside / "c.txt").read_text() == "mine"
    assert [path.name for path in outside.iterdir()] == ["c.txt"]
