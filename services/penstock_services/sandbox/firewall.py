"""Where a sandbox with a network may connect: rules for its own network namespace, as nftables reads them. Pure.

The namespace belongs to a user namespace in which nobody of the sandbox has a right, so that no command can change
what is loaded here. What is not allowed fails at once (EPERM, EHOSTUNREACH; TCP over IPv6 after a second, EACCES).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DNS_PORT = 53
REFUSED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "127.0.0.0/8"),  # this host
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),  # private, and behind a carrier
        *("169.254.0.0/16", "168.63.129.16/32", "192.0.0.0/24"),  # link-local and clouds' metadata
        *("198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),  # benchmarks, multicast, reserved, broadcast
        # all but 2000::/3: loopback, mapped and translated IPv4, unique local, link-local, multicast
        *("::/3", "4000::/2", "8000::/1"),
        *("2001::/23", "2002::/16"),  # Teredo and 6to4, which carry an IPv4 address inside
    )
)
"""Ranges that are never reached, whatever is allowed (IANA's special-purpose registries, RFC 6890)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one sandbox may connect to."""

    hosts_own: Sequence[Address]
    """The host's addresses, refused besides `REFUSED`."""
    resolvers: Sequence[Address]
    """Open on port 53, also within a refused range: the operator named them."""
    allowed: Sequence[Network] | None = None
    """Nothing else is reached; None allows whatever is not refused."""


def is_refused(address: Address) -> bool:
    """Whether no sandbox reaches it."""
    return any(address.version == network.version and address in network for network in REFUSED)


def public_resolvers(resolv_conf: str) -> list[Address]:
    """The name servers that such a file names and a sandbox may ask without anyone having said so."""
    found: list[Address] = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                address = ip_address(words[1])
            except ValueError:  # with a zone: link-local
                continue
            if not is_refused(address):
                found.append(address)
    return found


def ruleset(reach: Reach) -> str:
    """The rules, to be loaded in one transaction."""
    refused = [*REFUSED, *(ip_network(address) for address in reach.hosts_own)]
    accepted = _accepted(reach.allowed)
    return "\n".join(
        (
            "table inet penstock {",
            *_set("refused4", "ipv4_addr", refused, 4),
            *_set("refused6", "ipv6_addr", refused, 6),
            *_set("allowed4", "ipv4_addr", reach.allowed or (), 4),
            *_set("allowed6", "ipv6_addr", reach.allowed or (), 6),
            " chain output {",
            "  type filter hook output priority 0; policy drop;",
            '  oifname "lo" accept',
            "  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept",
            *(
                f"  {'ip' if address.version == 4 else 'ip6'} daddr {address} "
                f"meta l4proto {{ tcp, udp }} th dport {DNS_PORT} accept"
                for address in reach.resolvers
            ),
            "  ip daddr @refused4 reject with icmpx type admin-prohibited",
            "  ip6 daddr @refused6 reject with icmpx type admin-prohibited",
            *accepted,
            "  reject with icmpx type admin-prohibited",
            " }",
            "}",
            "",
        )
    )


def _accepted(allowed: Sequence[Network] | None) -> list[str]:
    if allowed is None:
        return ["  meta nfproto { ipv4, ipv6 } accept"]
    return ["  ip daddr @allowed4 accept", "  ip6 daddr @allowed6 accept"]


def _set(name: str, kind: str, networks: Sequence[Network], version: int) -> list[str]:
    elements = ", ".join(str(network) for network in networks if network.version == version)
    lines = [f" set {name} {{", f"  type {kind}; flags interval; auto-merge"]
    return [*lines, *([f"  elements = {{ {elements} }}"] if elements else []), " }"]
