"""Terminals of the test's own: one the worker lives in, and another one."""

from __future__ import annotations

import os
import pty
import select
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock_services.sandbox import Outcome
    from tests.isolation.scene import Scene


def legacy_tiocsti() -> str | None:
    """Kernels since 6.2 can refuse TIOCSTI by themselves."""
    switch = Path("/proc/sys/dev/tty/legacy_tiocsti")
    off = switch.exists() and switch.read_text().strip() == "0"
    return "this kernel refuses TIOCSTI to everybody (dev.tty.legacy_tiocsti = 0)" if off else None


def another_terminal(scene: Scene) -> None:
    """A terminal of the slot's uid; the attack finds its path in `facts["terminal"]`."""
    master, slave = pty.openpty()
    scene.closing.callback(os.close, master)
    scene.closing.callback(os.close, slave)
    path = os.ttyname(slave)
    os.chown(path, scene.uid, -1)
    os.chmod(path, 0o666)
    scene.facts["terminal"] = path
    scene.extra["master"] = master


def typed(scene: Scene, outcome: Outcome) -> str | None:
    """Somebody typed into the worker's terminal: its input has a line nobody wrote at the other end."""
    line = scene.extra.get("typed", b"")
    return f"typed {line!r}" if line else None


def written(scene: Scene, outcome: Outcome) -> str | None:
    """Something appeared on the terminal."""
    if "master" not in scene.extra:
        shown = scene.extra.get("shown", b"")
        return f"shown {shown!r}" if b"written" in shown else None
    master = scene.extra["master"]
    ready, _, _ = select.select([master], [], [], 0)
    return f"shown {os.read(master, 100)!r}" if ready else None


def group_hurt(scene: Scene, outcome: Outcome) -> str | None:
    """A process in the worker's own group was ended."""
    return "a process of the worker's group ended" if scene.extra.get("group_hurt") else None
