"""One case of the corpus, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.isolation.evidence import said_so
from tests.isolation.guards import Guard
from tests.isolation.programs import Language

if TYPE_CHECKING:
    from penstock_services.sandbox import Outcome
    from tests.isolation.scene import Scene

Prepare = Callable[["Scene"], None]
"""Sets the scene outside, before the attack."""
Evidence = Callable[["Scene", "Outcome"], "str | None"]
"""What escaped, seen from outside wherever it can be; None where nothing did."""
Refused = Callable[[], "str | None"]
"""Why this host cannot run the control; None where it can."""

ALLOWED = "network allowed"
"""Its cases run in a sandbox that has a network, on a host and beside an outside of the test's own."""
AREAS = (
    "files",
    "processes",
    "memory",
    "network",
    ALLOWED,
    "kernel",
    "environment",
    "terminal",
    "time",
    "tenants",
    "worker",
)
EVERY_TIER = ("free", "pro", "enterprise")


def nothing(scene: Scene) -> None:
    """Most attacks need nothing prepared."""


def possible() -> None:
    """Most controls run on every host."""


@dataclass(frozen=True, slots=True)
class Case:
    """An attack that must fail, and what must be taken away for it to succeed.

    Raises:
        ValueError: a case without a guard could not fail.
    """

    name: str
    """A sentence: what the attack does."""
    area: str
    guards: tuple[Guard, ...]
    """The control runs without them; several where each alone would hold."""
    attack: str
    """The program; it only ever does harm to what the scene made."""
    language: Language = "python"
    prepare: Prepare = nothing
    escaped: Evidence = said_so
    ends: tuple[str, ...] = ("completed",)
    """The reasons of `Outcome` the guarded run may end with."""
    tiers: tuple[str, ...] = ("free",)
    timeout_s: float = 20.0
    """Only attacks on the time limit come near it."""
    stdin: bytes | None = None
    output_bytes: int = 64 * 1024
    weakened: tuple[Guard, ...] = ()
    """Left out of the guarded run too, so that the guard behind them is the one that is tried."""
    neighbour: str = ""
    """A program that another tenant runs at the same time; it makes a file `ready` when the attack may begin."""
    meanwhile: Prepare | None = None
    """What happens outside, in a thread, while the attack runs."""
    in_terminal: bool = False
    """Needs a worker that has a controlling terminal."""
    network_hosts: tuple[str, ...] = ()
    """Of the area `ALLOWED`: the allow-list; nothing is one that allows whatever is not refused."""
    no_control: Refused = possible

    def __post_init__(self) -> None:
        if not self.guards:
            raise ValueError(f"{self.name!r} names no guard, so it could not fail")
        if self.area not in AREAS:
            raise ValueError(f"{self.name!r}: no area {self.area!r}; there are: {', '.join(AREAS)}")
