"""The built-in price list: the providers' public list prices of five models, USD per million tokens.

Source: the providers' pricing pages as of each model's general availability. OpenAI's gpt-4 and gpt-4-turbo
have no prompt cache, so their cache buckets cost what input costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from penstock_services.pricing.price import NANOUSD_PER_USD, Price

_USD_PER_MTOK = {
    #                   input  cache read  cache write  output
    "claude-3-opus": ("15", "1.50", "18.75", "75"),
    "claude-3-sonnet": ("3", "0.30", "3.75", "15"),
    "claude-3-haiku": ("0.25", "0.03", "0.30", "1.25"),
    "gpt-4": ("30", "30", "30", "60"),
    "gpt-4-turbo": ("10", "10", "10", "30"),
}
LIST_VERSION = "builtin-1"


SANDBOX_MODEL = "sandbox"
"""Commands in the sandbox are priced under this name: by the CPU-second and the GB-second, at the list price of a
large cloud's containers."""
SANDBOX_CPU_SECOND_NANOUSD, SANDBOX_GB_SECOND_NANOUSD = 24_000, 2_500


def _price(model: str, usd: tuple[str, str, str, str]) -> Price:
    input_, cache_read, cache_write, output = (int(Decimal(amount) * NANOUSD_PER_USD) for amount in usd)
    return Price(model, f"{LIST_VERSION}/{model}", input_, cache_read, cache_write, output)


BUILTIN_PRICES: Mapping[str, Price] = {model: _price(model, usd) for model, usd in _USD_PER_MTOK.items()} | {
    SANDBOX_MODEL: Price(
        SANDBOX_MODEL,
        f"{LIST_VERSION}/{SANDBOX_MODEL}",
        *(0, 0, 0, 0),
        cpu_second_nanousd=SANDBOX_CPU_SECOND_NANOUSD,
        gb_second_nanousd=SANDBOX_GB_SECOND_NANOUSD,
    )
}
