"""What the models cost here, as a person would write it down, and the cost of a call. Shares nothing with pricing.

The first five are the providers' public prices; `exact-ties` and `odd-units` are this proof's own, listed by it.
The ties: half a nano-dollar an input token, so that every odd count ends in exactly one half.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from penstock_schemas import records as r


@dataclass(frozen=True)
class Rate:
    """USD per million tokens, and per unit."""

    input: str
    cache_read: str
    cache_write: str
    output: str
    tool_call: str = "0"
    cpu_second: str = "0"
    gb_second: str = "0"

    def nanousd(self, call: r.RecordUsage) -> int:
        """Exact, and rounded once, to even where it is a tie."""
        million, thousand = Fraction(1_000_000), Fraction(1_000)
        usd = (
            Fraction(self.input) * call.input_tokens / million
            + Fraction(self.cache_read) * call.cache_read_tokens / million
            + Fraction(self.cache_write) * call.cache_write_tokens / million
            + Fraction(self.output) * call.output_tokens / million
            + Fraction(self.tool_call) * call.tool_calls
            + Fraction(self.cpu_second) * call.sandbox_cpu_ms / thousand
            + Fraction(self.gb_second) * call.sandbox_gb_ms / thousand
        )
        return round(usd * 1_000_000_000)


PUBLIC = {
    "claude-3-opus": Rate("15", "1.50", "18.75", "75"),
    "claude-3-sonnet": Rate("3", "0.30", "3.75", "15"),
    "claude-3-haiku": Rate("0.25", "0.03", "0.30", "1.25"),
    "gpt-4": Rate("30", "30", "30", "60"),
    "gpt-4-turbo": Rate("10", "10", "10", "30"),
}
LISTED = {
    "exact-ties": Rate("0.0005", "0.00025", "0.0015", "0.0035"),
    "odd-units": Rate(
        "0.123456789", "0.011111111", "0.2", "0.987654321", "0.000000007", "0.000012345", "0.0000003"
    ),
}
UNKNOWN = ("never", "late")
"""Each proof's own, by its prefix; the second is listed once everything else is billed."""
LISTED_LATE = Rate("1.000000001", "0.5", "2", "7")
