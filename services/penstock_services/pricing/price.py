"""A price, and the cost of one call at it. Integers only; one rounding per ledger line."""

from __future__ import annotations

from dataclasses import dataclass

NANOUSD_PER_USD = 1_000_000_000
UNIT_TOKENS = 1_000_000
"""Token prices are per this many, as every provider lists them."""
MS_PER_S = 1_000


@dataclass(frozen=True, slots=True)
class Tier:
    """What every token of a call costs whose whole input is above a threshold."""

    above_input_tokens: int
    input_nanousd_per_mtok: int
    cache_read_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-USD per million tokens of each disjoint bucket, and per unit of what else a call may use."""

    model: str
    """Its canonical name."""
    version: str
    """Names this price on every ledger line that used it."""
    input_nanousd_per_mtok: int
    cache_read_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    effective_from_us: int = 0
    """In force from here on, until a later one is; microseconds, UTC. 0 where the source names no date."""
    tool_call_nanousd: int = 0
    cpu_second_nanousd: int = 0
    gb_second_nanousd: int = 0
    tiers: tuple[Tier, ...] = ()
    """By rising threshold; only published prices have them."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call in disjoint buckets; reasoning tokens are inside `output`."""

    input: int
    cache_read: int
    cache_write: int
    output: int


@dataclass(frozen=True, slots=True)
class Units:
    """What one call used besides tokens."""

    tool_calls: int = 0
    sandbox_cpu_ms: int = 0
    sandbox_gb_ms: int = 0
    """Gigabytes of memory times milliseconds."""


NO_UNITS = Units()


def cost_nanousd(tokens: Tokens, price: Price, units: Units = NO_UNITS) -> int:
    """Cost of one call: the exact sum over buckets and units, rounded half-even once to whole nano-USD.

    Where the price has tiers, the highest one below the call's whole input (cached or not) is that of all its
    tokens, as the providers bill it.
    """
    rates = _rates(price, tokens.input + tokens.cache_read + tokens.cache_write)
    exact = (
        tokens.input * rates.input_nanousd_per_mtok
        + tokens.cache_read * rates.cache_read_nanousd_per_mtok
        + tokens.cache_write * rates.cache_write_nanousd_per_mtok
        + tokens.output * rates.output_nanousd_per_mtok
        + units.tool_calls * price.tool_call_nanousd * UNIT_TOKENS
        + units.sandbox_cpu_ms * price.cpu_second_nanousd * (UNIT_TOKENS // MS_PER_S)
        + units.sandbox_gb_ms * price.gb_second_nanousd * (UNIT_TOKENS // MS_PER_S)
    )
    quotient, remainder = divmod(exact, UNIT_TOKENS)
    twice = 2 * remainder
    if twice > UNIT_TOKENS or (twice == UNIT_TOKENS and quotient % 2):
        quotient += 1
    return quotient


def _rates(price: Price, input_tokens: int) -> Price | Tier:
    for tier in reversed(price.tiers):
        if input_tokens > tier.above_input_tokens:
            return tier
    return price
