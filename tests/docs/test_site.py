"""The documentation is built as a site, and a link to nothing keeps it from being built."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIAGRAMS = ("accounts", "executions", "conversations", "pipelines", "loader")
BROKEN = """
[x](nowhere.md) [x](accounts.md#no-such-heading) [x](../streams/no_such_file.py) [x][y]

[y]: no-such-reference.md
"""
NAMED = ("nowhere.md", "#no-such-heading", "no_such_file.py", "no-such-reference.md")


def build(site: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / "docs"), "--site-dir", str(site), "--config-file", str(root / "mkdocs.yml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository, as far as pages are made of it."""
    for name in ("docs", "scripts", "schemas", "streams", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path / path.name)
    return tmp_path


def test_the_start_is_the_readme(site: Path) -> None:
    assert "runs AI agents for many tenants" in (site / "index.html").read_text()


def test_a_file_of_the_repository_that_a_page_links_to_is_a_page(site: Path) -> None:
    path = "source/schemas/penstock_schemas/avro/accounts/RequestExecution.avsc.html"
    assert f'href="{path}"' in (site / "index.html").read_text()
    assert "request_id" in (site / path).read_text()


@pytest.mark.parametrize("stage", DIAGRAMS)
def test_each_stage_has_a_diagram(site: Path, stage: str) -> None:
    assert '<pre class="mermaid">' in (site / f"{stage}.html").read_text()


def test_links_to_nothing_are_errors(copy: Path, tmp_path: Path) -> None:
    page = copy / "docs" / "loader.md"
    page.write_text(page.read_text() + BROKEN)
    done = build(tmp_path / "out", copy)
    assert done.returncode != 0
    assert [name for name in NAMED if name not in done.stderr] == []


def test_a_page_that_the_navigation_leaves_out_is_an_error(copy: Path, tmp_path: Path) -> None:
    (copy / "docs" / "forgotten.md").write_text("# Forgotten\n")
    done = build(tmp_path / "out", copy)
    assert (done.returncode != 0, "forgotten.md" in done.stderr) == (True, True), done.stderr
