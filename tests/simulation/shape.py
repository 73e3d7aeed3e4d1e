"""What one world looks like, drawn from its seed: each has another mix, so that rare combinations come up."""

from __future__ import annotations

import random
from dataclasses import dataclass

KINDS = ("kill", "stop", "cut", "stagger", "slow", "terminate", "rebalance")
"""What may strike; see `World.strike`."""


@dataclass(frozen=True)
class Shape:
    """Sizes, clocks and faults of a world."""

    streams: int
    workers: int
    slots: int
    partitions: int
    limits: dict[str, int]
    """Concurrency by tenant."""
    executions: int
    faults_s: float
    """From here on nothing goes wrong any more."""
    skew_s: float
    """Wall clocks are off by up to this."""
    drift: float
    """Clocks run too fast or too slow by up to this part."""
    slow: float
    """Part of the trips over the network that take up to three seconds."""
    hit: float
    """Probability that a process is struck, per trip."""
    tempted: int
    """How many times more likely that is right after a claim, a heartbeat or a report."""
    strikes_every_s: float
    """Mean time between strikes at random moments."""
    kinds: tuple[str, ...]
    """Which strikes."""
    duplicates: float
    """Probability, per request, that it is sent again; and of other records being written again."""
    cancelled: float
    """Probability, per request, that somebody asks for its end."""
    misrouted: float
    """Probability that an outside record lands on any partition."""
    hesitation: float
    """Probability of another trip where one more may be taken."""
    batch: int
    linger_s: float
    """How long the world goes on when everything is over, for what comes late."""
    pipelines: int = 0
    """Pipelines that are started; as the users below."""
    talkers: int = 0
    """Users who talk with an agent; a world has some only if it is given them."""


def draw_shape(rng: random.Random) -> Shape:
    kinds = [
        kind for kind in ("kill", "stop", "cut", "stagger", "slow", "terminate", "rebalance") if rng.random() < 0.6
    ]
    return Shape(
        streams=rng.choice((1, 2, 2, 3)),
        workers=rng.choice((1, 2, 2, 3)),
        slots=rng.choice((1, 2, 2, 4)),
        partitions=rng.choice((1, 2, 2)),
        limits={f"tenant{number}": rng.randint(1, 3) for number in range(rng.randint(1, 3))},
        executions=rng.randint(3, 9),
        faults_s=rng.uniform(40, 120),
        skew_s=rng.choice((0.0, 1.0, 20.0, 120.0)),
        drift=rng.choice((0.0, 0.001, 0.01)),
        slow=rng.choice((0.0, 0.01, 0.05)),
        hit=rng.choice((0.0, 0.003, 0.01, 0.02)),
        tempted=rng.choice((1, 5, 20)),
        strikes_every_s=rng.choice((8.0, 20.0, 60.0)),
        kinds=tuple(kinds) or ("kill", "stop"),
        duplicates=rng.choice((0.0, 0.1, 0.4)),
        cancelled=rng.choice((0.0, 0.1, 0.4)),
        misrouted=rng.choice((0.0, 0.1, 0.5)),
        hesitation=rng.choice((0.0, 0.1, 0.3)),
        batch=rng.choice((1, 4, 100)),
        linger_s=rng.choice((2.0, 2.0, 45.0)),
    )
