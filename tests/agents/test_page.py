"""docs/agents.md: its agent and its test, as they stand there, and registered as the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
REGISTRATION = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]


def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    (tmp_path / "test_minutes.py").write_text(EXAMPLES["agent"] + EXAMPLES["test"])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_the_agent_of_the_page_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "your_package").mkdir()
    (tmp_path / "your_package" / "minutes.py").write_text(EXAMPLES["agent"])
    info = tmp_path / "your_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: your-package\nVersion: 1\n")
    group, line = re.findall(r'entry-points\."(.*?)"\]\n(\w+) = "', REGISTRATION)[0]
    target = re.findall(r'= "(.*?)"', REGISTRATION)[0]
    (info / "entry_points.txt").write_text(f"[{group}]\n{line} = {target}\n")
    code = "from penstock.agents import load_agents; print(type(load_agents().agent('minutes')).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "Minutes\n"), done.stderr
