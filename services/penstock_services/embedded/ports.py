"""Loopback ports: which are free, and which the stack uses."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from penstock.errors import PortTaken
from penstock_services.embedded.brokers import broker_names

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PortUse:
    """One port of the stack."""

    name: str
    default: int | None = None
    """None: nobody outside needs to know it, so any free one will do."""

    @property
    def option(self) -> str:
        return f"--{self.name}-port"


def controller_of(broker: str) -> str:
    """The port use of a broker's controller."""
    return f"{broker}-controller"


def port_uses(brokers: int = 1) -> tuple[PortUse, ...]:
    """Every port of a stack with so many brokers. A client that knows the first broker learns of the others."""
    first, *others = broker_names(brokers)
    return (
        PortUse(first, 9092),
        PortUse("registry", 8081),
        PortUse("clickhouse", 8123),
        *(PortUse(broker) for broker in others),
        *(PortUse(controller_of(broker)) for broker in (first, *others)),
        PortUse("streams"),
        PortUse("loader"),
        PortUse("worker"),
    )


def choose_ports(
    kept: Mapping[str, int], asked: Mapping[str, int], *, auto: bool, brokers: int = 1
) -> dict[str, int]:
    """A port for each use: the one asked for, else the one kept from the last start, else the default, else any.

    Args:
        kept: what an earlier start in this folder used; clients may still know these.
        asked: explicit choices by use.
        auto: choose free ports instead of defaults, and instead of kept ones that are taken.

    Raises:
        PortTaken: a port that was asked for, kept or is the default is in use; names it and the option.
    """
    chosen: dict[str, int] = {}
    uses = port_uses(brokers)
    unused = iter(free_ports(len(uses)))
    for use in uses:
        anywhere = (auto or use.default is None) and use.name not in asked
        wanted = asked.get(use.name) or kept.get(use.name) or (None if anywhere else use.default)
        if wanted is None or (anywhere and not is_free(wanted)):
            wanted = next(unused)
        elif wanted in chosen.values():
            raise PortTaken(f"port {wanted} is asked for twice, last for {use.name}; change it with {use.option}")
        elif reason := why_not_free(wanted):
            raise PortTaken(
                f"port {wanted} for {use.name} cannot be used: {reason}. Stop that program, choose another port "
                f"with {use.option}, or let `--ports auto` choose free ones"
            )
        chosen[use.name] = wanted
    return chosen


def free_ports(count: int) -> list[int]:
    """`count` different ports nobody listens on now. Another program may take one before it is used."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    return why_not_free(port) is None


def why_not_free(port: int) -> str | None:
    """None where a server could listen on `port` now, otherwise the reason."""
    with socket.socket() as probe:
        # As the servers themselves do: connections of the last run that linger in TIME_WAIT are no reason.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as exc:
            return "another program listens on it" if exc.errno == errno.EADDRINUSE else str(exc.strerror)
    return None
