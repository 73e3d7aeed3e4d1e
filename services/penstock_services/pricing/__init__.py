"""Prices and the one formula that turns tokens into money."""

from penstock_services.pricing.builtin import BUILTIN_PRICES
from penstock_services.pricing.price import NANOUSD_PER_USD, Price, Tier, Tokens, Units, cost_nanousd

__all__ = [
    "BUILTIN_PRICES",
    "NANOUSD_PER_USD",
    "Price",
    "Tier",
    "Tokens",
    "Units",
    "cost_nanousd",
]
