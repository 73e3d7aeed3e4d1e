"""One whole stack for the end-to-end tests, started and stopped by its own command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from tests.fixtures.agents import python_path_with_agents

UP_DEADLINE_S = 180
COMMAND_DEADLINE_S = 120
FOREIGN_QUEUE = "other-workers"
"""A queue of the stack that its own worker does not serve."""
UNSERVED_QUEUE = "nobodys"
"""One that nobody serves: what is admitted there keeps its reservation."""


@dataclass(frozen=True)
class Stack:
    """A running stack and how to speak to it."""

    home: Path

    @property
    def env(self) -> dict[str, str]:
        """What a process beside the stack has in its environment."""
        addresses = {k: v for k, v in dotenv_values(self.home / "stack.env").items() if v is not None}
        return {**os.environ, **addresses, "PENSTOCK_HOME": str(self.home), "COLUMNS": "160"}

    def penstock(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command line as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "penstock", *arguments],
            input=stdin,
            env=self.env,
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
        )

    def json(self, *arguments: str) -> Any:
        """The JSON a command prints; fails with what it said where it did not succeed."""
        done = self.penstock(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, sandbox_folder: Path) -> Iterator[Stack]:
    """The whole stack in a folder of its own, on free ports."""
    home = tmp_path_factory.mktemp("stack") / ".penstock"
    running = Stack(home)
    command = [sys.executable, "-m", "penstock"]
    agents = python_path_with_agents(tmp_path_factory.mktemp("site"))
    environment = {
        **os.environ,
        "PENSTOCK_HOME": str(home),
        "PYTHONPATH": agents,
        "PENSTOCK_QUEUES": f"{FOREIGN_QUEUE},{UNSERVED_QUEUE}",
    }
    up = subprocess.run(
        [*command, "up", "--ports", "auto"], env=environment, capture_output=True, text=True, timeout=UP_DEADLINE_S
    )
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield running
    finally:
        subprocess.run([*command, "down"], env=environment, capture_output=True, timeout=UP_DEADLINE_S)
