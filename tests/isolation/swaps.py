"""Our own code with single guards taken out, for as long as one control runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from penstock_services.sandbox import command_line, network, sandbox
from penstock_services.sandbox.cgroups import Group
from penstock_services.sandbox.policies import Policy
from penstock_services.sandbox.users import USERS
from tests.isolation.guards import Guard
from tests.isolation.scene import Scene
from tests.isolation.unguarded import without

PLENTY_BYTES = 4 << 30
PLENTY = 200
FORWARDED_PORT = 8_099
"""To the attack's sandbox; the next one is to its neighbour's, whose user is the next one too."""
A_DAY_S = 86_400.0
PLAIN = """\
import json, os, subprocess, sys
os.chdir(sys.argv[1])
code = subprocess.call(sys.argv[2:], close_fds=False)
os.write(int(os.environ["STATUS_FD"]), json.dumps({"exit-code": code}).encode() + b"\\n")
"""
"""A command without bubblewrap, that reports its end as bubblewrap does."""


def loosened(policy: Policy, guards: frozenset[Guard]) -> Policy:
    """The policy without those of its limits that are among the guards."""
    if Guard.MEMORY in guards:
        policy = replace(policy, memory_bytes=PLENTY_BYTES)
    if Guard.PROCESSES in guards:
        policy = replace(policy, processes=PLENTY)
    if Guard.TIMEOUT in guards:
        policy = replace(policy, timeout_s=A_DAY_S)
    if Guard.ALLOW_LIST in guards:
        policy = replace(policy, network_hosts=())
    if Guard.RUNTIME in guards:
        policy = replace(policy, left_out=frozenset())
    return policy


@contextmanager
def taken_away(guards: frozenset[Guard], scene: Scene) -> Iterator[None]:
    """The guards that are code, replaced in this process."""
    with ExitStack() as stack:

        def swap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
            before = getattr(owner, name)
            setattr(owner, name, make(before))
            stack.callback(setattr, owner, name, before)

        swap(command_line, "bwrap_options", lambda real: _options(real, guards, scene))
        swap(command_line, "launch", lambda real: _launch(real, guards, scene))
        if guards & {Guard.ENVIRONMENT, Guard.BUBBLEWRAP}:
            swap(command_line, "environment", lambda real: lambda: {**real(), **scene.environment})
        if guards & {Guard.DESCRIPTORS, Guard.STDIN}:
            swap(sandbox, "subprocess", lambda real: _starting(guards, scene))
        if Guard.RULES in guards:
            swap(network, "ruleset", lambda real: lambda reach: "")
        if guards & {Guard.GATEWAY, Guard.FORWARDING}:
            swap(network, "subprocess", lambda real: _starting_pasta(guards, scene))
        if Guard.KILL in guards:
            groups: list[Group] = []

            def keep(group: Group) -> bool:
                groups.append(group)
                return True

            real_remove = Group.remove
            stack.callback(lambda: [real_remove(group) for group in groups])
            swap(Group, "kill", lambda real: _ends_the_first_only)
            swap(Group, "empty", lambda real: lambda group: None)
            swap(Group, "remove", lambda real: keep)
        yield


def _options(real: Callable[..., list[str]], guards: frozenset[Guard], scene: Scene) -> Callable[..., list[str]]:
    def options(*given: Any, **named: Any) -> list[str]:
        line = real(*given, **named)
        if Guard.BUBBLEWRAP in guards:
            scene.environment["STATUS_FD"] = line[line.index("--json-status-fd") + 1]
        return without(line, guards, scene)

    return options


def _launch(real: Callable[..., list[str]], guards: frozenset[Guard], scene: Scene) -> Callable[..., list[str]]:
    def launch(
        entrances: Sequence[str],
        uid: int,
        bwrap: str,
        options_fd: int,
        argv: Sequence[str],
        enter_network: Sequence[str] = (),
    ) -> list[str]:
        entering = () if Guard.NETWORK in guards else enter_network
        line = real(entrances, uid, bwrap, options_fd, argv, entering)
        if Guard.GROUPS in guards:
            at = line.index("--clear-groups")
            line[at] = "--keep-groups"
        if Guard.USER in guards:  # stays root
            at = line.index("/usr/bin/setpriv")
            del line[at : line.index("--", at) + 1]
        if Guard.BUBBLEWRAP in guards:
            at = line.index(bwrap)
            line[at:] = ["/usr/bin/python3", "-I", "-S", "-c", PLAIN, str(scene.cwd or scene.workspace), *argv]
        return line

    return launch


def _starting_pasta(guards: frozenset[Guard], scene: Scene) -> Any:
    """`subprocess` as a command's network uses it, with other options of pasta."""

    def popen(argv: Sequence[str], **named: Any) -> subprocess.Popen[bytes]:
        line = list(argv)
        if Guard.GATEWAY in guards:
            line.remove("--no-map-gw")
        if Guard.FORWARDING in guards:
            uid = int(line[line.index("--reuid") + 1]) - USERS
            line[line.index("--tcp-ports") + 1] = str(FORWARDED_PORT + uid - scene.uid)
        return subprocess.Popen(line, **named)

    return SimpleNamespace(**{**vars(subprocess), "Popen": popen})


def _starting(guards: frozenset[Guard], scene: Scene) -> Any:
    """`subprocess` as the sandbox uses it, but what the worker has open stays open."""

    def popen(
        argv: Sequence[str], *, stdin: Any, pass_fds: Sequence[int], **named: Any
    ) -> subprocess.Popen[bytes]:
        if Guard.DESCRIPTORS in guards:
            pass_fds = (*pass_fds, *scene.descriptors)
        return subprocess.Popen(argv, stdin=None if Guard.STDIN in guards else stdin, pass_fds=pass_fds, **named)

    return SimpleNamespace(**{**vars(subprocess), "Popen": popen})


def _ends_the_first_only(group: Group) -> None:
    """What a parent without a control group can do: signal the process it started, and nothing else."""
