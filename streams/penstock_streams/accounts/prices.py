"""Which price is in force: the operator's, then a published one, then the fallback's. Pure."""

from __future__ import annotations

from dataclasses import replace

from penstock_services.pricing import Price
from penstock_streams.accounts import model as m
from penstock_streams.accounts.policy import Policy
from penstock_streams.kit import Rows

FALLBACK = "fallback/"
"""Begins the version of a price that is another model's."""


def price_at(rows: Rows, policy: Policy, model: str, at_us: int) -> Price | None:
    """The price of `model`, by any of its names, in force at `at_us` (microseconds); None where it is unknown.

    What the operator listed for the very name goes before what they listed for its canonical one. Under the policy
    `unknown_model=fallback:<model>` an unknown model has the price of that one, and its version says so.
    """
    if price := _own_price_at(rows, policy, model, at_us):
        return price
    if policy.fallback_model is None:
        return None
    instead = _own_price_at(rows, policy, policy.fallback_model, at_us)
    return replace(instead, version=FALLBACK + instead.version) if instead else None


def _own_price_at(rows: Rows, policy: Policy, model: str, at_us: int) -> Price | None:
    for name in policy.prices.names(model):
        listed = rows.get(m.price_key(name), m.Prices)
        for version in reversed(listed.versions if listed else ()):
            if version.effective_from <= at_us:
                return _price(name, version)
    return policy.prices.at(model, at_us)


def _price(model: str, version: m.PriceVersion) -> Price:
    return Price(
        model=model,
        version=version.version,
        input_nanousd_per_mtok=version.input_nanousd_per_mtok,
        cache_read_nanousd_per_mtok=version.cache_read_nanousd_per_mtok,
        cache_write_nanousd_per_mtok=version.cache_write_nanousd_per_mtok,
        output_nanousd_per_mtok=version.output_nanousd_per_mtok,
        effective_from_us=version.effective_from,
        tool_call_nanousd=version.tool_call_nanousd,
        cpu_second_nanousd=version.cpu_second_nanousd,
        gb_second_nanousd=version.gb_second_nanousd,
    )
