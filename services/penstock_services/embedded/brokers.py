"""How many brokers a stack has, what they are called, and what makes several of them one cluster."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass

from penstock.errors import InvalidInput

BROKER_COUNTS = (1, 3)
"""Two would be less than one: with either gone there is no majority of controllers, and nothing is written."""
MOST_BROKERS = max(BROKER_COUNTS)


@dataclass(frozen=True, slots=True)
class Membership:
    """One broker's place in a cluster of several, each of which is a controller too."""

    node: int
    """From 1; unique in the cluster."""
    cluster_id: str
    """The same for all: a broker refuses data that was formatted for another cluster."""
    controller_ports: tuple[int, ...]
    """Where each node's controller listens on loopback, node 1 first."""

    @property
    def name(self) -> str:
        return broker_names(self.node)[-1]


def broker_names(count: int) -> tuple[str, ...]:
    """Names of the first `count` brokers: of their processes, ports, logs and folders."""
    return ("kafka", *(f"kafka-{node}" for node in range(2, count + 1)))


def require_broker_count(count: int) -> None:
    """Check how many brokers somebody asked for.

    Raises:
        InvalidInput: a stack cannot have so many.
    """
    if count not in BROKER_COUNTS:
        raise InvalidInput(
            f"--brokers {count}: a stack has 1 broker, or 3 that replicate everything as in production"
        )


def new_cluster_id() -> str:
    """A cluster's name for itself: 16 random bytes, as Kafka writes them."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return cluster_id if not cluster_id.startswith("-") else new_cluster_id()  # a dash reads as an option
