"""Usage drawn from a seed: 5 % of the reports are repeats, 2 % happened days ago, 1 % are of unknown models."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_REQUESTS, Topic
from tests.exact_bill.rates import LISTED, PUBLIC, UNKNOWN

TENANTS, USERS, AGENTS = 40, 8, 5
REPEATED, LATE, OF_UNKNOWN_MODEL, WITH_UNITS = 0.05, 0.02, 0.01, 0.03
DAY_US = 86_400_000_000
MOST_DAYS_LATE = 6
REPEATED_WITHIN = 5_000
"""Reports that come between a call's first report and its repeat, at most."""
MODELS = (*PUBLIC, *LISTED)


@dataclass(frozen=True)
class Report:
    """One record to send."""

    usage: r.RecordUsage
    topic: Topic
    repeat: bool


def reports(seed: int, count: int, prefix: str) -> Iterator[Report]:
    """`count` reports of one proof; every tenant's last ones, on both topics, are no repeats.

    A consumer has seen everything once it has seen every call.
    """
    rng = random.Random(seed)
    last = [(tenant, topic) for tenant in range(TENANTS) for topic in (ACCOUNTS_REQUESTS, ACCOUNTS_COMMANDS)]
    repeats: list[r.RecordUsage] = []
    for number in range(count - len(last)):
        if repeats and (len(repeats) >= REPEATED_WITHIN * REPEATED or rng.random() < REPEATED):
            again = repeats.pop(rng.randrange(len(repeats)))
            copy = again.model_copy(update={"event_id": f"{prefix}-{number}"})
            yield Report(copy, _topic(rng), repeat=True)
            continue
        usage = _usage(rng, prefix, number, min(int(rng.expovariate(0.1)), TENANTS - 1))
        if rng.random() < REPEATED / (1 - REPEATED):
            repeats.append(usage)
        yield Report(usage, _topic(rng), repeat=False)
    for number, (tenant, topic) in enumerate(last, count - len(last)):
        yield Report(_usage(rng, prefix, number, tenant), topic, repeat=False)


def _topic(rng: random.Random) -> Topic:
    return ACCOUNTS_REQUESTS if rng.random() < 0.3 else ACCOUNTS_COMMANDS


def _usage(rng: random.Random, prefix: str, number: int, tenant: int) -> r.RecordUsage:
    occurred_at = time.time_ns() // 1000
    if rng.random() < LATE:
        occurred_at -= int(rng.uniform(0.01, MOST_DAYS_LATE) * DAY_US)
    output = rng.randrange(2_000)
    cached = rng.random() < 0.4
    units = {}
    if rng.random() < WITH_UNITS:
        units = {
            "tool_calls": rng.randrange(20),
            "sandbox_cpu_ms": rng.randrange(60_000),
            "sandbox_gb_ms": rng.randrange(90_000),
        }
    return r.RecordUsage(
        event_id=f"{prefix}-{number}",
        tenant_id=f"{prefix}-{tenant}",
        occurred_at=occurred_at,
        usage_id=f"{prefix}-call-{number}",
        user_id=f"user-{rng.randrange(USERS)}",
        agent_type=f"agent-{rng.randrange(AGENTS)}",
        model=f"{prefix}-{rng.choice(UNKNOWN)}" if rng.random() < OF_UNKNOWN_MODEL else rng.choice(MODELS),
        input_tokens=rng.randrange(8_000),
        cache_read_tokens=rng.randrange(30_000) if cached else 0,
        cache_write_tokens=rng.randrange(4_000) if cached else 0,
        output_tokens=output,
        reasoning_tokens=rng.randrange(output + 1) if rng.random() < 0.1 else 0,
        **units,
    )
