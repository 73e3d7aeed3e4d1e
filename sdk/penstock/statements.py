"""What bills and summaries of spending say: plain frozen values in integer nano-USD."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from penstock.models import Value
from penstock.money import usd_text


class Spend(Value):
    """Calls, what they used, and what that cost. The token buckets are disjoint.

    Corrections are in the sums as differences, so where they are all there is a sum may be negative.
    """

    calls: int = 0
    """Provider calls that were charged; a correction is none."""
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0

    @property
    def cost_usd(self) -> str:
        """USD with six decimals, for display; rounded once, from the exact sum."""
        return usd_text(self.cost_nanousd)


class BillLine(Spend):
    """What one model, user, agent, pipeline or conversation cost."""

    name: str | None
    """Of the model, user or agent, None for calls that were reported without one; or the id of the other two."""


class AdjustedMonth(Value):
    """What late calls and corrections of one month's calls changed. In the sums already, not on top of them."""

    month: str
    """YYYY-MM: the accounting month the calls belong to; an earlier one was closed when they came."""
    late_calls: int
    corrections: int
    cost_nanousd: int


class Wasted(Value):
    """What attempts cost whose result was not accepted. In the sums already, not on top of them."""

    tokens: int
    """Of all kinds."""
    cost_nanousd: int


class Quarantined(Value):
    """Calls that are on no bill yet, for one reason."""

    reason: str
    """`unknown_model`, `invalid_usage` or `too_old`."""
    calls: int


class Unresolved(Value):
    """Calls that were started and never reported, of runs that ended in the time the statement is about."""

    calls: int
    reserved_tokens: int
    """What stays reserved for them, of all kinds."""
    reserved_nanousd: int


class Statement(Value):
    """What a tenant, or one of its users, spent, as far as ClickHouse has loaded it."""

    tenant_id: str
    user_id: str | None
    """Restricted to this user; None for all."""
    total: Spend
    by: Mapping[str, tuple[BillLine, ...]]
    """The same broken down by `model`, `user` and `agent`, each of which adds up to the total; and what of it was
    for a `pipeline` and for a `conversation`. The dearest first."""
    more: Mapping[str, int]
    """How many more pipelines and conversations there are than were asked for."""
    wasted: Wasted
    adjustments: tuple[AdjustedMonth, ...]
    quarantined: tuple[Quarantined, ...]
    unresolved: Unresolved

    @property
    def quarantined_calls(self) -> int:
        return sum(quarantined.calls for quarantined in self.quarantined)


class Bill(Statement):
    """The bill of one accounting month."""

    period: str
    """YYYY-MM, UTC."""
    closed_at: datetime | None
    """When the month was closed: its bill no longer changes. None while it is open."""


class SpendSummary(Statement):
    """Spending by when the calls were made. Not a bill: calls near the turn of a month, late ones and corrections
    may be billed in another month."""

    start: datetime
    end: datetime
    """Not included."""
