"""The bill as it should be, call by call, from what was sent and when Kafka took it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

from penstock_schemas import records as r
from tests.exact_bill.rates import LISTED, PUBLIC, Rate

Line = tuple[str, str, str]
"""Tenant, month, model."""
SUMS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


class Bill:
    """Sums by tenant, month and model: calls, tokens of each kind, nano-USD; and the calls without a price."""

    def __init__(self) -> None:
        self.lines: dict[Line, list[int]] = defaultdict(lambda: [0] * (len(SUMS) + 2))
        self.unpriced: dict[Line, int] = defaultdict(int)
        self._waiting: list[tuple[r.RecordUsage, Line]] = []
        self._rates: Mapping[str, Rate] = {**PUBLIC, **LISTED}

    def add(self, call: r.RecordUsage, received_s: float) -> None:
        """One call that Kafka took at `received_s`."""
        occurred_s = call.occurred_at / 1e6
        happened_s = occurred_s if received_s - 48 * 3600 <= occurred_s <= received_s + 300 else received_s
        line = (call.tenant_id, datetime.fromtimestamp(happened_s, UTC).strftime("%Y-%m"), call.model)
        rate = self._rates.get(call.model)
        if rate is None:
            self.unpriced[line] += 1
            self._waiting.append((call, line))
        else:
            self._charge(call, line, rate)

    def list_late(self, model: str, rate: Rate) -> None:
        """A price of `model` is known now: what waited for it is charged."""
        for call, line in self._waiting:
            if call.model == model:
                self._charge(call, line, rate)
                self.unpriced.pop(line, None)

    @property
    def calls(self) -> int:
        return sum(sums[0] for sums in self.lines.values())

    @property
    def nanousd(self) -> int:
        return sum(sums[-1] for sums in self.lines.values())

    def _charge(self, call: r.RecordUsage, line: Line, rate: Rate) -> None:
        sums = self.lines[line]
        for index, more in enumerate((1, *(getattr(call, name) for name in SUMS), rate.nanousd(call))):
            sums[index] += more
