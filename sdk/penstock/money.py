"""Nano-USD to text, for display only."""

from __future__ import annotations

NANOUSD_PER_MICROUSD = 1_000


def usd_text(nanousd: int) -> str:
    """`nanousd` as USD with six decimals, rounded half-even: 1_234_567_890 gives `1.234568`."""
    microusd, rest = divmod(abs(nanousd), NANOUSD_PER_MICROUSD)
    if 2 * rest > NANOUSD_PER_MICROUSD or (2 * rest == NANOUSD_PER_MICROUSD and microusd % 2):
        microusd += 1
    sign = "-" if nanousd < 0 and microusd else ""
    return f"{sign}{microusd // 1_000_000}.{microusd % 1_000_000:06d}"
