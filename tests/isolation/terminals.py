"""Terminals of the test's own: one the worker lives in, and another one."""

from __future__ import annotations

import os
import pty
import select
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from penstock.cli import app, output
from penstock.errors import PermanentAgentError
from tests.isolation.guards import Guard

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


def shown_to_a_reader(scene: Scene, outcome: Outcome) -> str | None:
    """The output of a command steers the terminal of whoever reads it there with `penstock run --follow`."""
    return _steered(scene, lambda: output.print_text(outcome.output.decode(errors="replace")))


def shown_as_error(scene: Scene, outcome: Outcome) -> str | None:
    """The same for the error of a command that failed, which quotes the end of its output."""

    def fail() -> None:
        with suppress(SystemExit):
            app._fail(PermanentAgentError(f"status 1: {outcome.output.decode(errors='replace')}"))

    return _steered(scene, fail)


def _steered(scene: Scene, show: Callable[[], None]) -> str | None:
    master, slave = pty.openpty()
    with ExitStack() as stack:
        stack.callback(os.close, master)
        terminal = stack.enter_context(os.fdopen(slave, "w"))
        for name in ("stdout", "stderr"):
            stack.enter_context(patch.object(sys, name, terminal))
        if Guard.PRINTABLE in scene.away:
            for module in (app, output):
                stack.enter_context(patch.object(module, "printable", str))
        show()
        terminal.flush()
        found = os.read(master, 65536)
    return f"{found[-60:]!r}" if b"\x1b]" in found or b"\x1b[2J" in found else None
