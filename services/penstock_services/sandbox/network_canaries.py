"""Trying what a sandbox with a network may not reach or change: rows of `penstock verify isolation`, and of a
worker's start, where the operator's policies allow a network to anybody of the tier."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from penstock_services.sandbox import probes
from penstock_services.sandbox.reach import hosts_own_addresses
from penstock_services.sandbox.sandbox import Sandbox

SAMPLES = (
    *("10.0.2.2", "10.255.0.1", "172.16.0.1", "192.168.255.1", "100.64.0.1", "169.254.169.254", "168.63.129.16"),
    *("fd00:2::2", "fd00:ec2::254", "64:ff9b::a00:1", "2002:a00:1::1"),
)
"""The gateway, an address of each refused range, clouds' metadata, and 10.0.0.1 as IPv6 carries it."""


async def try_reach(sandbox: Sandbox) -> str:
    """What of this host or of the refused ranges was reached or not refused; empty where nothing was."""
    hosts = [
        str(address) for address in hosts_own_addresses() if not (address.version == 6 and address.is_link_local)
    ]
    with _servers() as servers:
        port = str(servers[0].getsockname()[1])
        outcome = await sandbox.run(["python3", "-I", "-S", "-c", probes.REFUSED, port, *hosts, *SAMPLES])
        reached = [server for server in servers if _came_in(server)]
    if reached:
        return f"a server of this host was reached; {outcome.output.decode(errors='replace')}"
    return _said(outcome.exit_code, outcome.output)


async def try_change(sandbox: Sandbox) -> str:
    """What of its network a command changed; empty where it is connected and could change nothing."""
    outcome = await sandbox.run(["python3", "-I", "-S", "-c", probes.CHANGED])
    return _said(outcome.exit_code, outcome.output)


def _said(status: int | None, output: bytes) -> str:
    return output.decode(errors="replace") or ("" if status == 0 else f"the attempt ended with status {status}")


@contextmanager
def _servers() -> Iterator[list[socket.socket]]:
    """On every address of this host, IPv4 and (where it has it) IPv6, TCP and UDP, all on one port."""
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("", 0)))
        servers, port = [first], first.getsockname()[1]
        for family, kind in (
            (socket.AF_INET, socket.SOCK_DGRAM),
            (socket.AF_INET6, socket.SOCK_STREAM),
            (socket.AF_INET6, socket.SOCK_DGRAM),
        ):
            with suppress(OSError):  # no IPv6 here, or somebody has that port: the others tell as much
                server = stack.enter_context(socket.socket(family, kind))
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                server.bind(("", port))
                if kind == socket.SOCK_STREAM:
                    server.listen()
                servers.append(server)
        yield servers


def _came_in(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        if server.type == socket.SOCK_STREAM:
            server.accept()[0].close()
        else:
            server.recv(1)
    except BlockingIOError:
        return False
    return True
