"""Nano-USD from text, exactly, and to text, for display only."""

from __future__ import annotations

import re
from decimal import Decimal

from penstock.errors import InvalidInput

USD = re.compile(r"(\d{1,12})(?:\.(\d+))?")
DECIMALS = 9
"""A nano-dollar is the smallest amount there is."""
NANOUSD_PER_MICROUSD = 1_000


def usd_text(nanousd: int) -> str:
    """`nanousd` as USD with six decimals, rounded half-even: 1_234_567_890 gives `1.234568`."""
    microusd, rest = divmod(abs(nanousd), NANOUSD_PER_MICROUSD)
    if 2 * rest > NANOUSD_PER_MICROUSD or (2 * rest == NANOUSD_PER_MICROUSD and microusd % 2):
        microusd += 1
    sign = "-" if nanousd < 0 and microusd else ""
    return f"{sign}{microusd // 1_000_000}.{microusd % 1_000_000:06d}"


def nanousd_of(amount: object) -> int:
    """An amount in USD as decimal text, Decimal or whole number, exact: `0.25` gives 250_000_000.

    Raises:
        InvalidInput: it is no plain decimal number, negative, or finer than a nano-dollar.
    """
    if isinstance(amount, float | bool):
        raise InvalidInput(f"{amount!r} is a {type(amount).__name__}, which is not exact; give a decimal as text")
    text = format(amount, "f") if isinstance(amount, Decimal) else str(amount).strip()
    if text.startswith("-"):
        raise InvalidInput(f"{text[:40]!r} is negative")
    found = USD.fullmatch(text) if text.isascii() else None
    if found is None:
        raise InvalidInput(f"{text[:40]!r} is no amount in USD; give a plain decimal number such as 0.25")
    whole, fraction = found.group(1), (found.group(2) or "").rstrip("0")
    if len(fraction) > DECIMALS:
        raise InvalidInput(f"{text[:40]!r} is finer than a nano-dollar: {DECIMALS} decimals at most")
    return int(f"{whole}{fraction:0<{DECIMALS}}")


def exact_usd_text(nanousd: int) -> str:
    """`nanousd` (0 or more) as USD with all its decimals, two at least: 250_000_000 gives `0.25`."""
    whole, fraction = divmod(nanousd, 10**DECIMALS)
    return f"{whole}.{f'{fraction:09d}'.rstrip('0'):0<2}"
