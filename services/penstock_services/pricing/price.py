"""A price, and the cost of one call at it. Integers only; one rounding per ledger line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NANOUSD_PER_USD = 1_000_000_000
UNIT_TOKENS = 1_000_000
"""Prices are per this many tokens, as every provider lists them."""


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-USD per million tokens of each disjoint bucket."""

    model: str
    version: str
    """Names this price on every ledger line that used it."""
    input_nanousd_per_mtok: int
    cache_read_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call in disjoint buckets; reasoning tokens are inside `output`."""

    input: int
    cache_read: int
    cache_write: int
    output: int


PriceList = Mapping[str, Price]
"""Prices by model name."""


def cost_nanousd(tokens: Tokens, price: Price) -> int:
    """Cost of one call: the exact sum over the buckets, rounded half-even once to whole nano-USD."""
    exact = (
        tokens.input * price.input_nanousd_per_mtok
        + tokens.cache_read * price.cache_read_nanousd_per_mtok
        + tokens.cache_write * price.cache_write_nanousd_per_mtok
        + tokens.output * price.output_nanousd_per_mtok
    )
    quotient, remainder = divmod(exact, UNIT_TOKENS)
    twice = 2 * remainder
    if twice > UNIT_TOKENS or (twice == UNIT_TOKENS and quotient % 2):
        quotient += 1
    return quotient
