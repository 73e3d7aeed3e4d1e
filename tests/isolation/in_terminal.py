"""A worker that lives in a terminal: `python -m tests.isolation.in_terminal`, which `TerminalWorker` starts.

It is the leader of a session whose terminal it made itself, so nobody's real one is ever touched. It reads lines
`{"case", "tier", "control"}` and answers each with `{"escaped", "tried", "said"}`.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.isolation.attack import run
from tests.isolation.case import Case
from tests.isolation.cases import CASES
from tests.isolation.place import Place
from tests.isolation.scene import Scene

if TYPE_CHECKING:
    from penstock.agents.commands import Outcome

MARK = 1999
"""Sets its uids apart from those of the process that started it."""


class TerminalWorker:
    """The process, from outside."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.isolation.in_terminal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def run(self, case: Case, tier: str, *, control: bool) -> Any:
        """Its answer.

        Raises:
            AssertionError: the process has ended.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"case": case.name, "tier": tier, "control": control}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the worker in the terminal has ended"
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def main() -> None:
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    tty.setraw(slave)
    for descriptor in range(2):
        os.dup2(slave, descriptor)
    cases = {case.name: case for case in CASES}
    with Place(MARK) as place:
        for line in asked:
            request = json.loads(line)
            case = _in(master, slave, cases[request["case"]])
            verdict = run(case, place, request["tier"], control=request["control"])
            answers.write(
                json.dumps({"escaped": verdict.escaped, "tried": verdict.tried, "said": str(verdict)}) + "\n"
            )
            answers.flush()


def _in(master: int, slave: int, case: Case) -> Case:
    """The case, with this terminal around it."""

    def prepare(scene: Scene) -> None:
        _drain(master), _drain(slave)
        scene.worker_stdin = slave
        scene.extra["member"] = scene.closing.enter_context(_member_of_the_group(scene.uid))
        case.prepare(scene)

    def escaped(scene: Scene, outcome: Outcome) -> str | None:
        scene.extra["typed"], scene.extra["shown"] = _drain(slave), _drain(master)
        scene.extra["group_hurt"] = scene.extra["member"].poll() is not None
        return case.escaped(scene, outcome)

    return replace(case, prepare=prepare, escaped=escaped)


@contextmanager
def _member_of_the_group(uid: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another process in the worker's own process group, with the slot's uid."""
    member = subprocess.Popen(
        ["/bin/sleep", "300"], user=uid, group=uid, extra_groups=[], stdin=subprocess.DEVNULL
    )
    try:
        yield member
    finally:
        member.kill()
        member.wait()


def _drain(descriptor: int) -> bytes:
    found = b""
    while select.select([descriptor], [], [], 0)[0]:
        found += os.read(descriptor, 4096)
    return found


if __name__ == "__main__":
    main()
