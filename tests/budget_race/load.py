"""What one race sends: drawn from its seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from uuid import uuid4

from penstock_schemas import records as r

PRODUCERS, REQUESTS, FITTING = 8, 1_000, 100
MOST_AT_ONCE = 40
"""Requests a producer has under way."""


@dataclass(frozen=True)
class Load:
    """One tenant's race."""

    tenant: str
    reserve: int
    """Tokens of every request."""
    limit: int
    """The tenant's budget in tokens: for `FITTING` requests, and less than one more."""
    concurrency: int
    """Of the tenant; what is admitted beyond it waits, and has its reservation too."""
    shares: list[list[list[r.RequestExecution]]]
    """By producer: bursts, each sent at once."""

    @property
    def rest(self) -> int:
        return self.limit - FITTING * self.reserve


def load_of(seed: int, tenant: str, queue: str) -> Load:
    """Sizes, order, shares of the producers and their bursts, as `seed` has them."""
    rng = random.Random(seed)
    reserve = rng.randint(50, 5_000)
    requests = [_request(rng, tenant, queue, number, reserve) for number in range(REQUESTS)]
    rng.shuffle(requests)
    shares: list[list[list[r.RequestExecution]]] = [[] for _ in range(PRODUCERS)]
    while requests:
        count = rng.randint(1, MOST_AT_ONCE)
        rng.choice(shares).append(requests[:count])
        del requests[:count]
    limit = FITTING * reserve + rng.randrange(reserve)
    return Load(tenant, reserve, limit, rng.randint(0, FITTING), shares)


def _request(rng: random.Random, tenant: str, queue: str, number: int, reserve: int) -> r.RequestExecution:
    return r.RequestExecution(
        event_id=str(uuid4()),
        tenant_id=tenant,
        request_id=f"{tenant}-{number}",
        user_id=rng.choice([None, "ann", "bob"]),
        agent_type="echo",
        input="x" * rng.randrange(2_000),
        max_tokens=rng.choice([None, rng.randint(1, reserve)]),
        reserve_tokens=reserve,
        queue=queue,
    )
