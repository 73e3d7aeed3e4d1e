"""What a policy's network means on this host now: its own addresses, its name servers, the addresses of allowed
names."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from penstock_services.sandbox.firewall import Address, Network, Reach, is_refused, public_resolvers
from penstock_services.sandbox.policies import Policy

log = logging.getLogger("penstock.sandbox")

RESOLV_CONF = Path("/etc/resolv.conf")
OWN_NET = Path("/proc/thread-self/net")
"""Of the network that this thread is in."""
_LOCAL_ADDRESS = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sandbox may reach, and the two files by which it finds names."""

    reach: Reach
    hosts: str
    resolv_conf: str


def hosts_own_addresses(net: Path = OWN_NET) -> list[Address]:
    """Every address of the network namespace this thread is in, loopback included."""
    found: set[Address] = set(map(ip_address, _LOCAL_ADDRESS.findall((net / "fib_trie").read_text())))
    if (net / "if_inet6").exists():
        lines = (net / "if_inet6").read_text().splitlines()
        found.update(ip_address(bytes.fromhex(line.split()[0])) for line in lines)
    return sorted(found, key=lambda address: (address.version, int(address)))


async def surroundings(policy: Policy) -> Surroundings:
    """Look up what `policy` allows.

    A name that does not resolve is left out with a warning: the rest of the tenant's work may not need it.
    """
    lines = ["127.0.0.1 localhost sandbox", "::1 localhost"]
    allowed: list[Network] | None = [] if policy.network_hosts else None
    for host in policy.network_hosts:
        networks, addresses = await _looked_up(host)
        assert allowed is not None
        allowed += networks
        lines += [f"{address} {host}" for address in addresses]
    resolvers = [ip_address(text) for text in policy.network_resolvers]
    if not resolvers and allowed is None:
        resolvers = public_resolvers(await asyncio.to_thread(_resolv_conf))
    reach = Reach(hosts_own_addresses(), resolvers, allowed)
    resolv_conf = "".join(f"nameserver {address}\n" for address in resolvers)
    return Surroundings(reach, "\n".join(lines) + "\n", resolv_conf)


def _resolv_conf() -> str:
    return RESOLV_CONF.read_text() if RESOLV_CONF.exists() else ""


async def _looked_up(host: str) -> tuple[Sequence[Network], Sequence[Address]]:
    """The networks of an entry of an allow-list; for a name its addresses too, without those never reached."""
    try:
        return [ip_network(host)], []
    except ValueError:
        pass
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as exc:
        log.warning("%s, which the sandbox policies allow, does not resolve: %s", host, exc)
        return [], []
    addresses = [ip_address(answer[4][0]) for answer in answers if "%" not in str(answer[4][0])]
    reached = [address for address in dict.fromkeys(addresses) if not is_refused(address)]
    return [ip_network(address) for address in reached], reached
