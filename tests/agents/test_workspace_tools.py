"""The assistant's tools on its workspace."""

import os

import pytest

from penstock_consumers.agents import workspace_tools as tools
from penstock_schemas import records as r
from tests.fixtures.sandbox import InSandbox


@pytest.fixture
def context(by_hand, sandbox_world):
    by_hand.sandboxed = InSandbox(sandbox_world)
    by_hand.workspace = by_hand.sandboxed.workspace.path
    return by_hand.context()


async def test_what_is_written_a_command_can_change_and_is_read_and_listed(context):
    assert await tools.write_file(context, "in/a.txt", "one\ntwo\n") == "wrote 8 bytes to in/a.txt"
    assert (
        await tools.run_command(context, "echo three >> in/a.txt; wc -l < in/a.txt")
        == "completed, status 0\n\n3\n"
    )
    assert await tools.read_file(context, "in/a.txt") == "one\ntwo\nthree\n"
    assert await tools.list_files(context) == "in/a.txt (14 bytes)"


@pytest.mark.parametrize("path", ["/etc/passwd", "../e-2/x", "link", "folder/../link", "a\0b", "", "fifo", "hard"])
async def test_no_file_outside_is_read_or_written(context, by_hand, tmp_path, path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.symlink(secret, by_hand.workspace / "link")
    os.mkfifo(by_hand.workspace / "fifo")
    os.mkdir(by_hand.workspace / "folder")
    (by_hand.workspace / "victim").write_text("secret")
    os.link(by_hand.workspace / "victim", by_hand.workspace / "hard")
    if path != "hard":
        assert (await tools.read_file(context, path)).startswith("refused: ")
    assert (await tools.write_file(context, path, "x")).startswith("refused: ")
    assert secret.read_text() == (by_hand.workspace / "victim").read_text() == "secret"


async def test_a_command_that_fails_is_told_to_the_model_and_billed(context, by_hand):
    assert await tools.run_command(context, "echo no; exit 4") == "completed, status 4\n\nno\n"
    assert [u.model for u in by_hand.all(r.RecordUsage)] == ["sandbox"]
    assert [c.tool_name for c in by_hand.all(r.ToolCalled)] == ["run_command"]


async def test_files_are_kept_by_pattern_and_only_plain_ones(context, by_hand):
    (by_hand.workspace / "out").mkdir()
    (by_hand.workspace / "out" / "a.csv").write_text("1,2\n")
    os.symlink("/etc/passwd", by_hand.workspace / "out" / "b.csv")
    kept = await context.keep_artifacts("out/*.csv", "*.md")
    assert [(k.path, k.ref.size) for k in kept] == [("out/a.csv", 4)]
    assert await by_hand.sandboxed.store.get(kept[0].ref) == b"1,2\n"
