"""A network for one command: a namespace of its own, rules in it, and pasta between it and the host's.

    1. sh         enters a control group of its own, and becomes
       unshare    with mounts of its own, where /dev/net/tun may be opened by anybody, and becomes
       setpriv    which gives up root for a user that runs nothing else, and becomes
       pasta      which makes a user and a network namespace, connects them, and starts
       sh, cat    in there, which says that it is ready and holds the namespace until its input ends
    2. nft loads the rules, as root, from outside: the sandbox's user has no right in that user namespace.
    3. The command starts in the namespace.

The input of (1) is a pipe that only this process has: when it ends, however it does, the holder ends, pasta with
it, and the namespace with both. The control group is what a reaper removes besides.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from penstock.errors import SandboxFailed
from penstock_services.sandbox.cgroups import Hierarchy
from penstock_services.sandbox.firewall import ruleset
from penstock_services.sandbox.groups import Group
from penstock_services.sandbox.host import NetworkTools, found_network_tools
from penstock_services.sandbox.owners import this_process
from penstock_services.sandbox.policies import Policy
from penstock_services.sandbox.reach import surroundings
from penstock_services.sandbox.users import USERS

MEMORY_BYTES = 256 * 1024 * 1024
"""Of pasta, besides the command's; what it holds for its connections is bounded by its own tables."""
PROCESSES = 8
READY_LIMIT_S = 20.0
"""Far above what was seen (0.2 s); a host too busy for this long cannot run a command either."""
READY = b"ready\n"
_HOLDER = "echo ready; exec cat"
_LAUNCHER = (
    'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; '
    "ulimit -c 0 && { echo 1000 > /proc/self/oom_score_adj; } 2>/dev/null; "
    'exec /usr/bin/unshare --mount -- /bin/sh -c "$@"'
)
_DEVICE = (
    "mount -t tmpfs -o mode=755,noexec,nosuid none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && "
    'exec /usr/bin/setpriv "$@"'
)
"""Where the device is root's alone (mode 0600), pasta could not open it; the host's stays as it is."""
PASTA_OPTIONS = (
    *("--foreground", "--quiet", "--config-net", "--ns-ifname", "net0", "--no-dhcp", "--no-dhcpv6", "--no-ra"),
    *("--address", "10.0.2.100", "--netmask", "24", "--gateway", "10.0.2.2"),
    *("--address", "fd00:2::100", "--gateway", "fd00:2::2"),
    "--no-map-gw",  # else the gateway's address is the host's loopback
    *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),  # default: all
)


@dataclass(frozen=True, slots=True)
class CommandNetwork:
    """The network of one command."""

    entering: Sequence[str]
    """What is executed by root to be in it. It names an open file of this process, which cannot come to be another
    namespace as a process's number can."""
    files: Mapping[str, bytes]
    """How names are found in it: path inside, and content."""
    group: Group
    """Of pasta and the holder: what they used is the command's."""


@asynccontextmanager
async def network_of(policy: Policy, hierarchy: Hierarchy, uid: int) -> AsyncIterator[CommandNetwork]:
    """A network as `policy` allows it; with its end nothing of it is left.

    Args:
        policy: with `network`.
        hierarchy: this host's control groups.
        uid: the slot's user; pasta runs as another, `uid + USERS`.

    Raises:
        SandboxUnavailable: a tool is missing here.
        SandboxFailed: pasta or the rules could not be set up.
    """
    tools, found = found_network_tools(), await surroundings(policy)
    group = hierarchy.group(this_process(), memory_bytes=MEMORY_BYTES, processes=PROCESSES)
    try:
        with ExitStack() as stack:
            pasta = _start(tools, group, uid + USERS)
            stack.callback(_end, pasta, group)
            await _until_ready(pasta)
            fd = _namespace(group, pasta.pid)
            stack.callback(os.close, fd)
            path = f"/proc/{os.getpid()}/fd/{fd}"
            await asyncio.to_thread(_load, tools, path, ruleset(found.reach))
            files = {"/etc/hosts": found.hosts.encode(), "/etc/resolv.conf": found.resolv_conf.encode()}
            yield CommandNetwork((tools.nsenter, f"--net={path}", "--"), files, group)
    finally:
        await asyncio.to_thread(group.remove)


def _start(tools: NetworkTools, group: Group, uid: int) -> subprocess.Popen[bytes]:
    user: Sequence[str] = ("--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--inh-caps=-all", "--")
    holder = ("--", "/bin/sh", "-c", _HOLDER)
    try:
        return subprocess.Popen(
            [
                *("/bin/sh", "-c", _LAUNCHER, "sh", *group.entrances, "--", _DEVICE, "sh", *user),
                *(tools.pasta, *PASTA_OPTIONS, *holder),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
        )
    except OSError as exc:
        raise SandboxFailed(f"pasta cannot be started: {exc}") from exc


def _end(pasta: subprocess.Popen[bytes], group: Group) -> None:
    group.kill()
    pasta.kill()  # where it has not come to entering the group
    pasta.wait()
    for pipe in (pasta.stdin, pasta.stdout):
        if pipe is not None:
            pipe.close()


async def _until_ready(pasta: subprocess.Popen[bytes]) -> None:
    """Wait for the holder's word.

    Raises:
        SandboxFailed: pasta ended, or took longer than `READY_LIMIT_S`. Where pasta ends early, its child waits
            for it without end and keeps the pipe open, so its own end is watched too.
    """
    assert pasta.stdout is not None
    loop, said = asyncio.get_running_loop(), b""
    out, pidfd = pasta.stdout.fileno(), os.pidfd_open(pasta.pid)
    os.set_blocking(out, False)
    something = asyncio.Event()
    loop.add_reader(out, something.set)
    loop.add_reader(pidfd, something.set)
    try:
        async with asyncio.timeout(READY_LIMIT_S):
            while READY not in said:
                await something.wait()
                something.clear()
                ended = pasta.poll() is not None
                try:
                    said += (read := os.read(out, 65536))
                except BlockingIOError:
                    read = b""
                if ended and READY not in said and not read:
                    raise SandboxFailed(f"pasta ended (status {pasta.returncode}): {_last(said)}")
    except TimeoutError:
        raise SandboxFailed(f"pasta was not ready within {READY_LIMIT_S:g} s: {_last(said)}") from None
    finally:
        loop.remove_reader(out)
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _last(said: bytes) -> str:
    return " ".join(said.decode(errors="replace").split())[-300:] or "it said nothing"


def _namespace(group: Group, pasta_pid: int) -> int:
    """The namespace that the holder is in, opened.

    Raises:
        SandboxFailed: there is none apart from the host's.
    """
    own = os.stat("/proc/thread-self/ns/net").st_ino
    for pid in group.processes() - {pasta_pid}:
        try:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a helper of pasta's that has just ended
            continue
        if os.fstat(fd).st_ino != own:
            return fd
        os.close(fd)
    raise SandboxFailed("pasta made no network namespace")


def _load(tools: NetworkTools, path: str, rules: str) -> None:
    argv = [tools.nsenter, f"--net={path}", "--", tools.nft, "-f", "-"]
    done = subprocess.run(argv, input=rules.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise SandboxFailed(f"the rules of a sandbox's network cannot be loaded: {_last(done.stderr)}")
