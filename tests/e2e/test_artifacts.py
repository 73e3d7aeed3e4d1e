"""Files of runs on the whole stack: kept, listed, saved, and handed from stage to stage."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

import penstock
from penstock.errors import NotFound
from tests.e2e.conftest import Stack
from tests.fixtures.sandbox import missing

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
PIPELINE = """
stages:
  - agent: shell
    name: Make
    prompt: "mkdir out; echo {initial_input} > out/a.txt; echo no > b"
    artifacts: [out/*]
  - name: Both
    parallel:
      - {agent: shell, name: Upper, artifacts: true, prompt: "tr a-z A-Z < out/a.txt > said.txt; ls"}
      - {agent: shell, name: Count, artifacts: true, prompt: "wc -c < out/a.txt > said.txt"}
  - {agent: shell, name: Join, prompt: "cat Upper/said.txt Count/said.txt Count/out/a.txt; ls; test ! -e b"}
"""


@pytest.fixture
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.env.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)


def test_a_stages_files_are_in_the_workspaces_of_the_next_step(stack: Stack, tmp_path: Path, environment: None):
    async def go() -> tuple[str, dict[str, str], dict[str, list[str]]]:
        async with penstock.Client() as client:
            started = await client.start_pipeline(PIPELINE, "hello", tenant="files")
            output = await client.pipeline_result(started, timeout_s=90)
            state = await client.pipeline(started.pipeline_id, tenant="files")
            runs = {stage.name: stage.execution_id for stage in state.stages}
            kept = {name: [file.path for file in await client.artifacts(run)] for name, run in runs.items()}
            return output, runs, kept

    output, runs, kept = asyncio.run(go())
    assert output == "HELLO\n6\nhello\nCount\nUpper\n"
    both = ["out/a.txt", "said.txt"]
    assert kept == {"Make": ["out/a.txt"], "Upper": both, "Count": both, "Join": []}
    upper = runs["Upper"]
    assert f"2 files: penstock artifacts {upper}" in stack.penstock("get", upper).stdout

    folder = tmp_path / "to"
    assert stack.penstock("artifacts", upper, "--to", str(folder)).returncode == 0
    assert (folder / "said.txt").read_text() == "HELLO\n"
    (folder / "out" / "a.txt").unlink()
    again = stack.penstock("artifacts", upper, "--to", str(folder))
    assert (again.returncode, (folder / "out" / "a.txt").exists()) == (2, False), again.stderr
    assert "said.txt is there already, and nothing was written" in again.stderr.replace("\n", " ")
    assert stack.penstock("artifacts", upper, "--to", str(folder), "--force").returncode == 0
    assert (folder / "out" / "a.txt").read_text() == "hello\n"


def test_a_clients_user_lists_and_reads_what_a_run_kept(stack: Stack, environment: None):
    async def go() -> None:
        async with penstock.Client() as client:
            run = await client.submit("keeps-twice", "", tenant="files")
            await client.result(run.execution_id, timeout_s=60)
            assert (await client.get(run.execution_id)).artifacts == 1
            (kept,) = await client.artifacts(run.execution_id)
            assert (kept.path, kept.size_bytes) == ("out.txt", 6)
            assert await client.read_artifact(run.execution_id, kept) == b"second"
            assert await client.read_artifact(run.execution_id, "out.txt") == b"second"
            with pytest.raises(NotFound, match="kept no file 'other'"):
                await client.read_artifact(run.execution_id, "other")

    asyncio.run(go())
