"""What the worker does with a workspace after the run, as root: collect, read, write, remove."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.artifacts import MAX_PAYLOAD_BYTES, ArtifactStore
from penstock.errors import PayloadTooLarge, WorkspaceError, WorkspaceRefused
from penstock_services.workspaces import keep_artifacts
from penstock_services.workspaces.beneath import read_beneath, write_beneath
from tests.isolation.guards import Guard

if TYPE_CHECKING:
    from penstock_services.sandbox import Outcome
    from tests.isolation.case import Evidence
    from tests.isolation.scene import Scene

PATIENCE_S = 2.0
"""A collector that still waits for a named pipe after this will wait for ever."""
RACE_S = 1.5
"""A collector that can be raced loses within some milliseconds."""


def collected_secret(scene: Scene, outcome: Outcome) -> str | None:
    """The planted secret came into the artifact store."""
    return "the planted secret is an artifact" if scene.secret.encode() in _collect(scene) else None


def collected_too_much(scene: Scene, outcome: Outcome) -> str | None:
    """The store took more than one artifact may have."""
    size = len(_collect(scene))
    return f"{size:,} bytes were collected" if size > MAX_PAYLOAD_BYTES else None


def collector_waits(scene: Scene, outcome: Outcome) -> str | None:
    """The collector does not come back."""
    collecting = threading.Thread(target=_collect, args=(scene,))
    collecting.start()
    collecting.join(PATIENCE_S)
    if not collecting.is_alive():
        return None
    os.close(os.open(scene.workspace / "report.txt", os.O_RDWR | os.O_NONBLOCK))  # lets it go
    collecting.join()
    return "the collector waited"


def raced(one: str, other: str) -> Evidence:
    """Two names are exchanged without end while the collector works, as a second command of the attempt could."""

    def evidence(scene: Scene, outcome: Outcome) -> str | None:
        begun, stop = threading.Event(), threading.Event()
        names = (scene.workspace / one, scene.workspace / other)
        swapping = threading.Thread(target=_swap, args=(*names, begun, stop))
        swapping.start()
        begun.wait()
        deadline = time.monotonic() + RACE_S
        found = False
        try:
            while not found and time.monotonic() < deadline:
                found = scene.secret.encode() in _collect(scene)
        finally:
            stop.set()
            swapping.join()
        return "the planted secret is an artifact" if found else None

    return evidence


def read_tool(scene: Scene, outcome: Outcome) -> str | None:
    """An agent's `read_file`, which works outside the sandbox, gives the secret away."""
    try:
        if Guard.COLLECTOR in scene.away:
            data = (scene.workspace / "report.txt").read_bytes()
        else:
            data = read_beneath(scene.workspace, "report.txt", 1000)
    except (OSError, WorkspaceRefused):
        return None
    return "read_file gave the secret" if scene.secret.encode() in data else None


def write_tool(name: str) -> Evidence:
    """An agent's `write_file`, which works outside the sandbox, changes the host."""

    def evidence(scene: Scene, outcome: Outcome) -> str | None:
        with suppress(OSError, WorkspaceRefused):
            if Guard.COLLECTOR in scene.away:
                (scene.workspace / name).write_bytes(b"written")
            else:
                write_beneath(scene.workspace, name, b"written")
        changed = scene.canary.read_bytes() != scene.secret.encode()
        return "write_file changed a file of the host" if changed else None

    return evidence


def _collect(scene: Scene) -> bytes:
    """Everything that came into the store, from `*.txt`."""
    if Guard.COLLECTOR in scene.away:
        return _collect_by_name(scene.workspace)
    store = ArtifactStore(f"file://{scene.outside}/store")
    with ThreadPoolExecutor(1) as another_loop, suppress(FileNotFoundError, PayloadTooLarge, WorkspaceRefused):
        another_loop.submit(asyncio.run, keep_artifacts(scene.workspace, ["*.txt"], store)).result()
    kept = [path for path in (scene.outside / "store").rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in kept)


def _collect_by_name(workspace: Path) -> bytes:
    """What most collectors do."""
    found = b""
    for folder, _, names in os.walk(workspace, followlinks=True):
        for name in names:
            if fnmatch(name, "*.txt"):
                with suppress(FileNotFoundError, NotADirectoryError):
                    found += Path(folder, name).read_bytes()
    return found


def removal_fails(scene: Scene, outcome: Outcome) -> str | None:
    """The workspace cannot be removed."""
    try:
        if Guard.REMOVAL in scene.away:
            shutil.rmtree(scene.workspace)
        else:
            scene.remove_workspace()
    except (OSError, RecursionError, WorkspaceError) as error:
        return f"the workspace stays: {error!r:.100}"
    return "the workspace stays" if scene.workspace.exists() else None


def removal_goes_outside(scene: Scene, outcome: Outcome) -> str | None:
    """The removal follows a link and deletes what is outside."""
    if Guard.REMOVAL in scene.away:
        for folder, _, names in os.walk(scene.workspace, followlinks=True):
            for name in names:
                Path(folder, name).unlink()
    else:
        scene.remove_workspace()
    return "a file of the host was deleted" if not scene.canary.exists() else None


def _swap(one: Path, other: Path, begun: threading.Event, stop: threading.Event) -> None:
    spare = one.with_name(".spare")
    while not stop.is_set():
        begun.set()
        os.rename(one, spare)
        os.rename(other, one)
        os.rename(spare, other)
