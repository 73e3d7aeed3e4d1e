"""Loopback ports: which are free, and choosing some."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from penstock.errors import PortTaken

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """`count` different ports nobody listens on now. Another program may take one before it is used."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def require_free(port: int, what: str, option: str) -> None:
    """Check that `port` can be listened on.

    Raises:
        PortTaken: it cannot; names the port, what it is for and the option that changes it.
    """
    with socket.socket() as probe:
        # As the servers themselves do: connections of the last run that linger in TIME_WAIT are no reason.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            reason = "another program listens on it" if exc.errno == errno.EADDRINUSE else exc.strerror
            raise PortTaken(
                f"port {port} for {what} cannot be used: {reason}. "
                f"Stop that program, choose another port with {option}, or let `--ports auto` choose free ones"
            ) from exc
