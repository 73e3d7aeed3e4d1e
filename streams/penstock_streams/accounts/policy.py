"""Limits by tier and what the operator decides once for the platform."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock_schemas.topics import DEFAULT_QUEUE
from penstock_services.pricing.published import PublishedPrices, published_prices
from penstock_streams.timing import DAY_US

ANSWERS_KEPT_US = 7 * DAY_US
"""How long a settled or rejected request_id is still answered alike."""


@dataclass(frozen=True, slots=True)
class TierLimits:
    """Limits of a tier where a tenant has none of its own."""

    concurrency: int
    """Executions admitted at once."""
    queue_limit: int
    """Executions that may wait."""


TIERS = {
    "free": TierLimits(concurrency=5, queue_limit=1_000),
    "pro": TierLimits(concurrency=20, queue_limit=5_000),
    "enterprise": TierLimits(concurrency=100, queue_limit=50_000),
}


def limits_of(tier: str) -> TierLimits:
    """A tier's limits; an unknown tier has those of free."""
    return TIERS.get(tier, TIERS["free"])


@dataclass(frozen=True, slots=True)
class Policy:
    """The platform operator's choices."""

    default_tier: str | None = "free"
    """Tier of a tenant nobody configured; None rejects it as `unknown_tenant`."""
    queues: frozenset[str] = frozenset({DEFAULT_QUEUE})
    prices: PublishedPrices = field(default_factory=published_prices)
    """Prices that need no operator; the operator's own, in rows, come before them."""
    fallback_model: str | None = None
    """Usage of a model without a price is charged as this one; None quarantines it."""
