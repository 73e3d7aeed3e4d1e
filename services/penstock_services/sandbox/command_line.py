"""How a sandbox is started: what bubblewrap is told, and what happens between our process and it. Pure.

    sh        enters the control group, lowers limits, and becomes
    nsenter   where the command has a network, which enters it, and becomes
    setpriv   which gives up root for the slot's user and its groups, and becomes
    bwrap     which makes the namespaces and the root, applies the filters, and runs the command

Each is an exec of the one before, so nothing of ours stays between the command and what holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from penstock_services.sandbox.policies import Policy
from penstock_services.sandbox.runtime import UID, USER, Shown

WORKSPACE = "/workspace"
OWN_PROCESSES = 2
"""bubblewrap's own two, its monitor outside and its init inside, which count against `pids.max` too."""
REFUSED_STATUS = 125
"""The launcher could not enter the control group."""
_LAUNCHER = (
    'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; '
    "ulimit -c 0 && ulimit -n 1024 && umask 022 && { echo 1000 > /proc/self/oom_score_adj; } 2>/dev/null; "
    'exec "$@"'
)
"""No core dumps; few files; first to go where the host itself runs out of memory."""


def bwrap_options(
    policy: Policy,
    workspace: str,
    shown: Sequence[Shown],
    seccomp_fds: Sequence[int],
    status_fd: int,
    files: Mapping[str, int] = MappingProxyType({}),
) -> list[str]:
    """bubblewrap's options; they go in by a file descriptor, because `/proc/1/cmdline` shows what it was called
    with.

    Args:
        policy: of the run.
        workspace: host path.
        shown: what else of the host is to be seen.
        seccomp_fds: each readable, holding one filter.
        status_fd: takes bubblewrap's report of how the command ended.
        files: read-only files of this command alone: path inside, and what holds the content.
    """
    options = [
        *("--unshare-user", "--unshare-all", "--disable-userns"),
        *("--new-session", "--die-with-parent", "--cap-drop", "ALL"),
        *("--uid", str(UID), "--gid", str(UID), "--hostname", "sandbox"),
        *("--symlink", "usr/bin", "/bin", "--symlink", "usr/bin", "/sbin"),
        *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
    ]
    if policy.network:  # the one it was started in, which has the rules
        options.append("--share-net")
    for host, inside in shown:
        options += ["--ro-bind", host, inside]
    for inside, fd in files.items():
        options += ["--perms", "0644", "--ro-bind-data", str(fd), inside]
    options += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    options += ["--bind", workspace, WORKSPACE, "--symlink", "workspace/.tmp", "/tmp"]
    for path in policy.writable:
        options += ["--bind", path, path]
    options += ["--remount-ro", "/", "--chdir", WORKSPACE, "--json-status-fd", str(status_fd)]
    for fd in seccomp_fds:
        options += ["--add-seccomp-fd", str(fd)]
    return options


def launch(
    entrances: Sequence[str],
    uid: int,
    bwrap: str,
    options_fd: int,
    argv: Sequence[str],
    enter_network: Sequence[str] = (),
) -> list[str]:
    """What is executed by root to run `argv` in the sandbox as the user `uid`."""
    return [
        *("/bin/sh", "-c", _LAUNCHER, "sh", *entrances, "--", *enter_network),
        *("/usr/bin/setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--inh-caps=-all", "--"),
        *(bwrap, "--args", str(options_fd), "--", *argv),
    ]


def environment() -> Mapping[str, str]:
    """All that a command, and everything that starts it, has of an environment."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": WORKSPACE,
        "TMPDIR": f"{WORKSPACE}/.tmp",
        "USER": USER,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }
