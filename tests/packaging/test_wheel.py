"""The distribution as others get it: built, installed with each extra into a clean environment, and started."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("penstock", "penstock_schemas", "penstock_services", "penstock_streams", "penstock_consumers")
EXTRAS = ("", *PROJECT["optional-dependencies"])
UV = Path(sys.executable).parent / "uv"
OFFERS = {
    "": ["penstock.client", "penstock.agents"],
    "platform": ["penstock_streams.commands", "penstock_consumers.loader", "penstock_consumers.worker.commands"],
    "embedded": ["chdb", "uvicorn"],
    "agents": ["pydantic_ai", "bpe_openai"],
    "operator": ["confluent_kafka"],
    "report": ["plotly"],
    "docs": ["mkdocs", "material"],
    "dev": ["pytest", "mypy"],
    "all": ["penstock_streams.commands", "chdb", "pydantic_ai", "confluent_kafka"],
}
"""What can be imported with each extra."""


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    # The build's own requirements are installed already, and hash-checked.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_every_package_is_in_the_wheel_with_its_types_and_its_contract(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    avro = {str(file.relative_to(ROOT / "schemas")) for file in (ROOT / "schemas").rglob("*.avsc")}
    sql = {str(file.relative_to(ROOT / "schemas")) for file in (ROOT / "schemas").rglob("*.sql")}
    assert (len(avro) > 50, len(sql) > 20, (avro | sql) - names) == (True, True, set())


def test_nothing_else_is_in_the_wheel(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert top == {*PACKAGES, f"penstock-{PROJECT['version']}.dist-info"}


def test_the_licence_goes_along(built: Path, wheel: Path) -> None:
    text = (ROOT / "LICENSE").read_text()
    path = f"penstock-{PROJECT['version']}.dist-info/licenses/LICENSE"
    assert zipfile.ZipFile(wheel).read(path).decode() == text
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        packed = archive.extractfile(f"penstock-{PROJECT['version']}/LICENSE")
        assert packed is not None
        assert packed.read().decode() == text


def test_every_extra_is_tried() -> None:
    assert set(OFFERS) == set(EXTRAS)


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra or "none")
def test_it_installs_into_a_clean_environment_and_says_what_it_can(
    wheel: Path, tmp_path: Path, extra: str
) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    what = f"penstock[{extra}] @ {wheel.as_uri()}" if extra else f"penstock @ {wheel.as_uri()}"
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "constraints.txt", what)
    assert "Run AI agents as an event stream" in run(python.parent / "penstock", "--help")
    assert run(python.parent / "penstock", "--version").strip() == f"penstock {PROJECT['version']}"
    run(python, "-P", "-c", "import " + ", ".join(OFFERS[extra]), PYTHONPATH="")
