"""The prices in force at one moment, from every source, for display; accounts decides by its own rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from penstock.models import Price as ListedPrice
from penstock_schemas.prices import AMOUNTS
from penstock_services.pricing.builtin import LIST_VERSION
from penstock_services.pricing.price import Price
from penstock_services.pricing.published import published_prices


@dataclass(frozen=True, slots=True)
class SourcedPrice:
    """A price and who asks it: `operator`, `builtin` or `genai-prices`."""

    price: Price
    source: str


def in_force(listed: Iterable[ListedPrice], at_us: int, model: str | None = None) -> list[SourcedPrice]:
    """The operator's prices, then the published ones they leave; of one model, by any of its names, or of all."""
    published = published_prices()
    operators: dict[str, Price] = {}
    for entry in sorted(listed, key=lambda entry: entry.effective_from):
        if (price := _price(entry)).effective_from_us <= at_us:
            operators[price.model] = price
    if model is not None:
        own = next((operators[name] for name in published.names(model) if name in operators), None)
        found = own or published.at(model, at_us)
        return [] if found is None else [SourcedPrice(found, "operator" if own else _source(found))]
    others = (price for price in published.all_at(at_us) if price.model not in operators)
    return [
        *(SourcedPrice(operators[name], "operator") for name in sorted(operators)),
        *(SourcedPrice(price, _source(price)) for price in others),
    ]


def _source(price: Price) -> str:
    return "builtin" if price.version.startswith(f"{LIST_VERSION}/") else "genai-prices"


def _price(listed: ListedPrice) -> Price:
    since_epoch = listed.effective_from - datetime(1970, 1, 1, tzinfo=UTC)
    amounts = {name: getattr(listed, name) for name in AMOUNTS}
    since_us = since_epoch.days * 86_400_000_000 + since_epoch.seconds * 1_000_000 + since_epoch.microseconds
    return Price(listed.model, listed.version, **amounts, effective_from_us=since_us)
