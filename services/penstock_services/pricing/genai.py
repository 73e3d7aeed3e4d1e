"""Prices of the `genai-prices` package: its bundled data only, and only what is exact.

A model is left out, and so unknown, where its price cannot be told in nano-USD per million tokens: a decimal that
is no whole number of nano-USD, no price for input or for output, a fee per request, an own rate for reasoning.
Tiers by the size of the input are kept. A cache bucket without a price of its own costs what input costs. Rates of
audio, images, searches and one-hour cache writes are ignored: usage does not report them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cache
from importlib.metadata import version

from genai_prices.data import providers
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from penstock_services.pricing.price import NANOUSD_PER_USD, Price, Tier

LIST_VERSION = f"genai-prices-{version('genai-prices')}"
PROVIDERS = providers
_BUCKETS = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")
_NOT_REPRESENTED = ("requests_kcount", "output_reasoning_mtok")
_KNOWN = {id(model): (provider, model) for provider in PROVIDERS for model in provider.models}
"""They live as long as the process, so their identities do."""


class _InexactError(Exception):
    pass


def find(name: str) -> ModelInfo | None:
    """The model that goes by `name`: as the providers match names, or behind a provider's (`openai/`, `aws:`).

    Not by the package's own look-up, which remembers every name it was ever asked for.
    """
    name = name.lower()
    for provider in PROVIDERS:
        if provider.model_match is not None and provider.model_match.is_match(name):
            if model := provider.find_model(name, all_providers=PROVIDERS):
                return model
            break
    for separator in "/:":
        prefix, _, rest = name.partition(separator)
        if rest and (named := _provider(prefix)) and (model := named.find_model(rest, all_providers=PROVIDERS)):
            return model
    return None


def canonical_name(model: ModelInfo) -> str:
    """The model's id where that alone finds it, else the id behind its provider's."""
    return _canonical_name(id(model))


def price_of(model: ModelInfo, at_us: int) -> Price | None:
    """The model's price in force at `at_us`, None where it has no exact one."""
    if isinstance(model.prices, ModelPrice):
        return _price(id(model), None)
    at = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    newest_first = reversed(list(enumerate(model.prices)))
    active = (n for n, price in newest_first if price.constraint is None or price.constraint.active(at))
    return _price(id(model), next(active, 0))


@cache
def _canonical_name(identity: int) -> str:
    provider, model = _KNOWN[identity]
    return model.id if find(model.id) is model else f"{provider.id}/{model.id}"


@cache
def _price(identity: int, number: int | None) -> Price | None:
    """The model's only price, or that of its conditional ones."""
    provider, model = _KNOWN[identity]
    if isinstance(model.prices, ModelPrice):
        suffix, effective_from_us, prices = "", 0, model.prices
    else:
        suffix, effective_from_us, prices = _named(model.prices[number or 0])
    try:
        (_, input_, cache_read, cache_write, output), *tiers = _rates(prices)
    except _InexactError:
        return None
    return Price(
        _canonical_name(identity),
        f"{LIST_VERSION}/{provider.id}/{model.id}{suffix}",
        input_,
        cache_read,
        cache_write,
        output,
        effective_from_us=effective_from_us,
        tiers=tuple(Tier(*tier) for tier in tiers),
    )


def models() -> Iterator[ModelInfo]:
    """Every model of every provider."""
    for provider in PROVIDERS:
        yield from provider.models


def _provider(name: str) -> Provider | None:
    exact = next((provider for provider in PROVIDERS if provider.id == name), None)
    return exact or next((p for p in PROVIDERS if p.provider_match and p.provider_match.is_match(name)), None)


def _named(price: ConditionalPrice) -> tuple[str, int, ModelPrice]:
    match price.constraint:
        case StartDateConstraint(start_date=day):
            midnight = datetime.combine(day, time(), UTC)
            return f"@{day}", int(midnight.timestamp()) * 1_000_000, price.prices
        case TimeOfDateConstraint(start_time=start, end_time=end):
            return f"@{start:%H:%M}-{end:%H:%M}", 0, price.prices
    return "", 0, price.prices


def _rates(prices: ModelPrice) -> list[tuple[int, int, int, int, int]]:
    """Threshold, then the four buckets; the base first, then the tiers by rising threshold."""
    if any(getattr(prices, name, None) is not None for name in _NOT_REPRESENTED):
        raise _InexactError
    given = {name: getattr(prices, name) for name in _BUCKETS}
    if given["input_mtok"] is None or given["output_mtok"] is None:
        raise _InexactError
    tiered = [price for price in given.values() if isinstance(price, TieredPrices)]
    thresholds = sorted({tier.start for price in tiered for tier in price.tiers})
    return [_row(given, threshold) for threshold in (-1, *thresholds)]


def _row(given: dict[str, Decimal | TieredPrices | None], threshold: int) -> tuple[int, int, int, int, int]:
    instead = given["input_mtok"]
    filled = (instead if price is None else price for price in given.values())
    input_, cache_read, cache_write, output = (_nanousd(price, threshold) for price in filled)
    return threshold, input_, cache_read, cache_write, output


def _nanousd(price: Decimal | TieredPrices | None, threshold: int) -> int:
    assert price is not None
    if isinstance(price, TieredPrices):
        usd = next((tier.price for tier in reversed(price.tiers) if tier.start <= threshold), price.base)
    else:
        usd = price
    exact = usd * NANOUSD_PER_USD
    if exact != exact.to_integral_value() or exact < 0:
        raise _InexactError
    return int(exact)
