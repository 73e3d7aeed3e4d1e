"""One place for all cases: making it takes longer than most of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.isolation.in_terminal import TerminalWorker
from tests.isolation.place import Place


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    """Folder, workspaces and uids.

    Skips where the host cannot hold a sandbox at all; `make setup` installs what can be installed.
    """
    if os.geteuid() != 0:
        pytest.skip("the sandbox gives each slot a uid, which only root can do")
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    with Place() as made:
        yield made


@pytest.fixture(scope="session")
def terminal_worker(place: Place) -> Iterator[TerminalWorker]:
    """A worker that has a terminal."""
    worker = TerminalWorker()
    yield worker
    worker.close()
