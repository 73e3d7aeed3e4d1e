"""bwrap's options with single guards taken out, for controls. Pure.

Each control still runs in namespaces of its own wherever the guard under test is not that namespace, and no attack
changes a name, a clock or a setting of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.isolation.guards import Guard

if TYPE_CHECKING:
    from tests.isolation.scene import Scene

NAMESPACES = {
    "--unshare-user": Guard.USER,
    "--unshare-ipc": Guard.IPC,
    "--unshare-pid": Guard.PROCESSES_VIEW,
    "--unshare-net": Guard.NETWORK,
    "--unshare-uts": Guard.HOSTNAME,
    "--unshare-cgroup": Guard.CGROUP_VIEW,
}
HOST_PROC = ["--bind", "/proc", "/proc"]
"""A process in the host's process ids may not mount its own."""


def without(options: Sequence[str], guards: frozenset[Guard], scene: Scene) -> list[str]:
    """The options less the guards.

    Raises:
        LookupError: the options have no such guard, so that taking it out would prove nothing.
    """
    left = list(options)
    away = [name for name, guard in NAMESPACES.items() if guard in guards]
    if away:
        _take(left, "--unshare-all")
        if "--unshare-user" in left:
            _take(left, "--unshare-user")
        left[:0] = [name for name in NAMESPACES if name not in away]
    for guard, name, operands in (
        (Guard.USERNS, "--disable-userns", 0),
        (Guard.SESSION, "--new-session", 0),
        (Guard.HOSTNAME, "--hostname", 1),
    ):
        if guard in guards:
            _take(left, name, operands)
    if Guard.SECCOMP in guards:
        _take(left, "--add-seccomp-fd", 1)
        while "--add-seccomp-fd" in left:
            _take(left, "--add-seccomp-fd", 1)
    if Guard.CAPABILITIES in guards:
        _take(left, "--cap-drop", 1, ["--cap-add", "ALL"])
        if Guard.USER not in guards:  # another uid would need a second namespace, which owns nothing
            _take(left, "--uid", 1, ["--uid", "0"])
            _take(left, "--gid", 1, ["--gid", "0"])
    if Guard.USER in guards:
        if Guard.USERNS not in guards:
            _take(left, "--disable-userns")
        _take(left, "--uid", 1)
        _take(left, "--gid", 1)
    if Guard.PROCESSES_VIEW in guards:
        _take(left, "--proc", 1, HOST_PROC)
    if Guard.DEVICES in guards:
        _take(left, "--dev", 1, ["--dev-bind", "/dev", "/dev"])
        _remount(left, "/dev")
        left[left.index(str(scene.workspace)) - 1] = "--dev-bind"
    if Guard.READ_ONLY in guards:
        _take(left, "--proc", 1, HOST_PROC)
        _remount(left, "/")
        _remount(left, "/dev")
        left += ["--bind", str(scene.canary), "/usr/bin/true"]  # a program, in place of all of them
    if Guard.PATHS in guards:
        _bind(left, scene)
    return left


def _bind(options: list[str], scene: Scene) -> None:
    """Show more of the host, before the root is closed; what covers something comes after it."""
    for outside, inside in scene.binds:
        if inside == "/tmp":
            at = options.index("/tmp")
            del options[at - 2 : at + 1]  # the link
        line = ["--bind", outside, inside]
        if inside == "/dev/shm":
            at = options.index("--dev") + 2
            options[at:at] = line
        else:
            at = _root_closes(options)
            options[at:at] = line


def _root_closes(options: list[str]) -> int:
    """Where the root becomes read-only."""
    return next(at for at, name in enumerate(options) if name == "--remount-ro" and options[at + 1] == "/")


def _remount(options: list[str], path: str) -> None:
    at = next(at for at, name in enumerate(options) if name == "--remount-ro" and options[at + 1] == path)
    del options[at : at + 2]


def _take(options: list[str], name: str, operands: int = 0, instead: Sequence[str] = ()) -> None:
    if name not in options:
        raise LookupError(f"bwrap has no option {name} here: the control would prove nothing")
    at = options.index(name)
    options[at : at + 1 + operands] = instead
