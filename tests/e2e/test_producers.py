"""docs/producing.md on the whole stack: other languages ask for runs by their own clients, as the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from penstock_schemas import ids
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "producing.md").read_text()
COMMANDS = dict(re.findall(r"<!-- example: (\w+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL))
TOOLS = {"java": ("javac", "mvn"), "go": ("go",), "node": ("node", "npm")}
FETCHING_S = 240
"""The first time a language's own tool fetches its client."""


def test_every_language_of_the_page_is_run() -> None:
    assert set(COMMANDS) == set(TOOLS)


@pytest.mark.parametrize("language", TOOLS)
def test_another_language_asks_for_a_run_and_asking_again_is_harmless(
    stack: Stack, tmp_path: Path, language: str
) -> None:
    missing = [tool for tool in TOOLS[language] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{language} cannot be tried here: {', '.join(missing)} is not installed")
    # In a copy, because building leaves files beside the source.
    shutil.copytree(ROOT / "examples" / "producers" / language, tmp_path / "examples" / "producers" / language)
    (tmp_path / "schemas").symlink_to(ROOT / "schemas")
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-e", "-c", COMMANDS[language]],
            cwd=tmp_path,
            env=stack.env,
            capture_output=True,
            text=True,
            timeout=FETCHING_S,
        )
        assert (done.returncode, f"sent order-{language}" in done.stdout) == (0, True), done.stdout + done.stderr
    execution_id = ids.execution_id("acme", f"order-{language}")
    state = eventually(lambda: completed(stack, execution_id))
    assert state["output"] == "hello"
    listed = stack.json("list", "--tenant", "acme", "--status", "completed")
    assert [row["execution_id"] for row in listed].count(execution_id) == 1


def completed(stack: Stack, execution_id: str) -> dict[str, object] | None:
    shown = stack.penstock("get", execution_id, "--json")
    state = stack.json("get", execution_id) if shown.returncode == 0 else {}
    return state if state.get("status") == "completed" else None
