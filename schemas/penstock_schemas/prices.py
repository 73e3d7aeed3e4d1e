"""What a listed price must satisfy; the SDK says so before it is sent, accounts decides it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from penstock_schemas.records import ListedPrice

MAX_PRICES_AT_ONCE = 1_000
"""In one ListPrice; some 100 kB, answered by as many records."""
MAX_NANOUSD_PER_MTOK = 10_000 * 10**9
"""USD 10,000 per million tokens is ten times the dearest model; above it the number is a mistake."""
MAX_NANOUSD_PER_UNIT = 1_000 * 10**9
"""USD 1,000 per tool call, CPU-second or GB-second; above it the number is a mistake."""
EFFECTIVE_BEFORE_US = 7_258_118_400_000_000
"""The year 2200; every table can still compute with it."""
TOKEN_PRICES = (
    "input_nanousd_per_mtok",
    "cache_read_nanousd_per_mtok",
    "cache_write_nanousd_per_mtok",
    "output_nanousd_per_mtok",
)
UNIT_PRICES = ("tool_call_nanousd", "cpu_second_nanousd", "gb_second_nanousd")
AMOUNTS = (*TOKEN_PRICES, *UNIT_PRICES)


def problem_with_price(price: ListedPrice) -> tuple[str, str] | None:
    """The first field that cannot be, and why; None where all can."""
    if not price.model.isprintable() or price.model != price.model.strip():
        return "model", "must be printable text without blanks around it"
    if price.effective_from >= EFFECTIVE_BEFORE_US:
        return "effective_from", "must be before the year 2200"
    for names, most in ((TOKEN_PRICES, MAX_NANOUSD_PER_MTOK), (UNIT_PRICES, MAX_NANOUSD_PER_UNIT)):
        for name in names:
            if not 0 <= (amount := getattr(price, name)) <= most:
                return name, f"must be 0 to {most} nano-USD, was {amount}"
    return None


def version_of(price: ListedPrice) -> str:
    """The name of an operator's price; model and moment are its identity."""
    return f"operator/{price.model}@{_moment(price.effective_from)}"


def _moment(us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return moment.isoformat().replace("+00:00", "Z")
