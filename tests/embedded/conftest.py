"""A state folder and the command line on it, as a user has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock_services.embedded.identity import ProcessIdentity


@dataclass(frozen=True)
class Home:
    """A state folder and `penstock` commands on it."""

    path: Path
    env: dict[str, str]

    def penstock(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penstock", *arguments],
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=110,
        )

    def status(self) -> Any:
        return json.loads(self.penstock("status", "--json").stdout)

    def run_file(self) -> Any:
        """What the supervisor last wrote, without the second a command takes to start."""
        return json.loads((self.path / "run.json").read_bytes())

    def processes(self) -> dict[str, ProcessIdentity]:
        """Every process of the running stack by name, the supervisor included."""
        report = self.run_file()
        named = {process["name"]: process["identity"] for process in report["processes"]}
        named["supervisor"] = report["supervisor"]
        return {name: ProcessIdentity(**identity) for name, identity in named.items()}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A new state folder; whatever a test leaves running in it is stopped."""
    settings = {"PENSTOCK_HOME": str(tmp_path / ".penstock"), "COLUMNS": "200"}
    found = Home(tmp_path / ".penstock", {**os.environ, **settings})
    yield found
    found.penstock("down")


def eventually(what: Callable[[], bool], *, within_s: float = 20.0) -> None:
    """Wait until `what()` holds; fail when it does not within the deadline."""
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s"
        time.sleep(0.02)
