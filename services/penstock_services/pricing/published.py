"""Prices that need no operator: the built-in list, then `genai-prices` for everything else."""

from __future__ import annotations

from functools import cache, lru_cache

from penstock_services.pricing.builtin import BUILTIN_PRICES
from penstock_services.pricing.price import Price

REMEMBERED_NAMES = 10_000
"""Names come from outside; the newest are not matched again."""


class PublishedPrices:
    """What providers ask in public, by every name a model goes by. Pure, and the same in every process."""

    def __init__(self) -> None:
        from penstock_services.pricing import genai  # takes over a second: `penstock --help` should not

        self._genai = genai
        found = ((genai.find(name), price) for name, price in BUILTIN_PRICES.items())
        self._builtin = {id(known): price for known, price in found if known is not None}
        self._find = lru_cache(REMEMBERED_NAMES)(genai.find)

    def names(self, model: str) -> tuple[str, ...]:
        """`model` itself, then its canonical name where that is another one."""
        canonical = self.canonical(model)
        return (model,) if canonical == model else (model, canonical)

    def canonical(self, model: str) -> str:
        """The one name for all names of a model; an unknown model's is its own."""
        if model in BUILTIN_PRICES:
            return model
        known = self._find(model)
        if known is None:
            return model
        builtin = self._builtin.get(id(known))
        return builtin.model if builtin else self._genai.canonical_name(known)

    def at(self, model: str, at_us: int) -> Price | None:
        """The price in force at `at_us` (microseconds, UTC); None for a model nobody publishes an exact one of."""
        if price := BUILTIN_PRICES.get(model):
            return price
        known = self._find(model)
        if known is None:
            return None
        return self._builtin.get(id(known)) or self._genai.price_of(known, at_us)

    def all_at(self, at_us: int) -> list[Price]:
        """Every published price in force at `at_us`, the built-in ones first."""
        others = (
            self._genai.price_of(model, at_us) for model in self._genai.models() if id(model) not in self._builtin
        )
        return [*BUILTIN_PRICES.values(), *(price for price in others if price)]


@cache
def published_prices() -> PublishedPrices:
    """The one list of this process; the first call takes about a second."""
    return PublishedPrices()
