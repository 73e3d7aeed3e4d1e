"""What the sandbox needs of a host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from penstock.errors import SandboxUnavailable
from penstock_services.sandbox.cgroups import prepared_hierarchy

OLDEST_BWRAP = (0, 8)
"""The first with --disable-userns."""


SWITCHES = {
    Path("/proc/sys/user/max_user_namespaces"): "user.max_user_namespaces=15000",
    Path("/proc/sys/kernel/unprivileged_userns_clone"): "kernel.unprivileged_userns_clone=1",
}
"""Kernel settings that are 0 where user namespaces are off, and how to turn each on. Not every kernel has both."""


def check_user_namespaces(switches: Mapping[Path, str] = SWITCHES) -> None:
    """Whether the kernel lets an ordinary user make a user namespace.

    Raises:
        SandboxUnavailable: it does not.
    """
    if not Path("/proc/self/ns/user").exists():
        raise SandboxUnavailable("this kernel has no user namespaces (CONFIG_USER_NS)")
    for path, turned_on in switches.items():
        if path.exists() and path.read_text().strip() == "0":
            raise SandboxUnavailable(f"user namespaces are turned off here; sysctl -w {turned_on}")


@cache
def found_bwrap() -> str:
    """Path of bubblewrap.

    Raises:
        SandboxUnavailable: it is missing or too old, or there is no setpriv.
    """
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxUnavailable("bubblewrap is not installed; apt-get install bubblewrap")
    if shutil.which("setpriv", path="/usr/bin") is None:
        raise SandboxUnavailable("/usr/bin/setpriv is not installed; apt-get install util-linux")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if version < OLDEST_BWRAP:
        wanted = ".".join(map(str, OLDEST_BWRAP))
        raise SandboxUnavailable(f"{path} is {said.strip() or 'of no known version'}; {wanted} or newer is needed")
    return path


class NetworkTools(NamedTuple):
    """Paths of what a sandbox with a network needs besides."""

    pasta: str
    nft: str
    nsenter: str


NETWORK_PACKAGES = {"pasta": "passt", "nft": "nftables", "nsenter": "util-linux"}
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where nft is, also for a worker whose PATH has no such folder."""


@cache
def found_network_tools() -> NetworkTools:
    """What gives a sandbox a network.

    Raises:
        SandboxUnavailable: names the tool that is missing and its package.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), SBIN))
    found = {tool: shutil.which(tool, path=path) for tool in NETWORK_PACKAGES}
    missing = [tool for tool, at in found.items() if at is None]
    if missing:
        packages = " ".join(NETWORK_PACKAGES[tool] for tool in missing)
        raise SandboxUnavailable(
            f"network in a sandbox (network, allow_network) needs {', '.join(missing)}, which this host does not "
            f"have: apt-get install {packages}, or take the option away"
        )
    if not Path("/dev/net").is_dir():
        raise SandboxUnavailable(
            "network in a sandbox (network, allow_network) needs /dev/net/tun, which this host does not have: "
            "modprobe tun, or give the container the device; or take the option away"
        )
    return NetworkTools(*(str(at) for at in found.values()))


def require_host() -> None:
    """What every tier's sandbox needs here, as far as it can be known without trying one.

    Raises:
        SandboxUnavailable: says what is missing.
    """
    if (uid := os.geteuid()) != 0:
        raise SandboxUnavailable(
            f"sandboxes need root (a user for each slot, mounted volumes, control groups), and this is user {uid}"
        )
    found_bwrap()
    prepared_hierarchy()
