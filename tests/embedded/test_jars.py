"""Fetching the broker and the registry: once, complete or absent, whoever asks and whatever fails.

Maven itself runs in every other test's first fetch; here a script in its place shows what happens when it fails,
stops half-way, or is slow.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import StackError
from penstock_services.embedded.jars import cached_java_servers, java_servers
from tests.embedded.conftest import eventually
from tests.embedded.test_java import script

FETCHES = r"""
folder=$(dirname "$4")
echo run >> "$PENSTOCK_CACHE/runs"
mkdir "$folder/kafka" "$folder/apicurio"
echo "[INFO] Downloaded from mirror: kafka.jar"
touch "$folder/kafka/kafka.jar"
while [ -e "$PENSTOCK_CACHE/hold" ]; do sleep 0.05; done
touch "$folder/apicurio/registry-runner.jar"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("PENSTOCK_CACHE", str(folder))
    script(tmp_path / "bin" / "mvn", FETCHES)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return folder


def fetching(**options: object) -> subprocess.Popen[str]:
    code = "from penstock_services.embedded.jars import java_servers; print(java_servers().folder)"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_what_was_fetched_once_is_not_fetched_again(cache: Path) -> None:
    progress: list[str] = []
    servers = java_servers(progress.append)
    assert progress == ["fetching the broker and the registry, once: 1 files"]
    assert servers.registry_jar.name == "registry-runner.jar"
    assert java_servers() == servers == cached_java_servers()
    assert (cache / "runs").read_text() == "run\n"


def test_concurrent_callers_fetch_once_and_get_the_same_folder(cache: Path) -> None:
    (cache / "hold").touch()
    callers = [fetching() for _ in range(3)]
    eventually(lambda: (cache / "runs").exists())
    (cache / "hold").unlink()
    folders = {caller.communicate(timeout=30)[0] for caller in callers}
    assert len(folders) == 1
    assert (cache / "runs").read_text() == "run\n"


def test_a_fetch_killed_half_way_leaves_nothing_that_looks_complete(cache: Path) -> None:
    (cache / "hold").touch()
    caller = fetching()
    eventually(lambda: (cache / "runs").exists())
    os.killpg(caller.pid, signal.SIGKILL)
    caller.communicate(timeout=30)
    assert cached_java_servers() is None
    (cache / "hold").unlink()
    assert java_servers() == cached_java_servers()
    assert (cache / "runs").read_text() == "run\nrun\n"


@pytest.mark.parametrize(
    ("says", "reason"),
    [("echo '[ERROR] no route to mirror'; exit 1", "no route to mirror"), ("exit 0", "left no broker")],
)
def test_a_failed_fetch_says_why_and_caches_nothing(cache: Path, tmp_path: Path, says: str, reason: str) -> None:
    script(tmp_path / "bin" / "mvn", says)
    with pytest.raises(StackError, match=reason):
        java_servers()
    assert cached_java_servers() is None
