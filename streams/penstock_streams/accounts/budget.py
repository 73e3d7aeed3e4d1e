"""Monthly budgets of tenants and users, in tokens and in nano-USD. Pure arithmetic; integers only.

Two sums are kept per budget. `reserved` is what open reservations and unresolved calls may still cost; it belongs
to no month. `spent` is what was charged in `period`, and starts at 0 in the next. A request is admitted where
`spent + reserved + its reservation` is within both limits, so no run can overshoot whatever runs beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec.structs import replace

from penstock_streams.kit import Row

THRESHOLDS = (100, 80, 50)
"""Percent of a limit; passing one upwards is an event, once a month."""

Unit = Literal["tokens", "nanousd"]
UNITS: tuple[Unit, Unit] = ("tokens", "nanousd")


class Amount(msgspec.Struct, frozen=True, array_like=True):
    """Tokens of all buckets, and nano-USD. Never negative where it is an amount and not a difference."""

    tokens: int = 0
    nanousd: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.nanousd + other.nanousd)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.tokens - other.tokens, self.nanousd - other.nanousd)

    def at_least_zero(self) -> Amount:
        return Amount(max(self.tokens, 0), max(self.nanousd, 0))


ZERO = Amount()


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """What may be used in a month; None is without limit."""

    tokens: int | None = None
    nanousd: int | None = None
    hard: bool = True
    """Refuse what does not fit; otherwise it is admitted, and reported as overspent."""

    @property
    def binding(self) -> bool:
        """Whether anything can be refused."""
        return self.hard and (self.tokens is not None or self.nanousd is not None)


UNLIMITED = Limits()


class Budget(Row, frozen=True, tag="budget"):
    """The limits of one tenant or user, and how much of them is used."""

    limits: Limits = UNLIMITED
    period: str = ""
    """The month `spent` is of."""
    spent: Amount = ZERO
    reserved: Amount = ZERO
    announced: Amount = ZERO
    """The highest threshold, in percent, that was announced in `period`."""

    def rolled(self, period: str) -> Budget:
        """The budget in `period`, which only moves on: an earlier one changes nothing."""
        return replace(self, period=period, spent=ZERO, announced=ZERO) if period > self.period else self

    def with_limits(self, limits: Limits) -> Budget:
        """Under other limits; what is used stays."""
        return replace(self, limits=limits, announced=ZERO)

    def left(self, unit: Unit) -> int | None:
        """What a new reservation may have; negative where overspent, None without limit."""
        limit: int | None = getattr(self.limits, unit)
        return None if limit is None else limit - getattr(self.spent + self.reserved, unit)

    def lacks(self, wanted: Amount) -> Unit | None:
        """In which unit `wanted` does not fit; None where it does, or where the limits are soft."""
        for unit in UNITS:
            left = self.left(unit)
            if self.limits.hard and left is not None and getattr(wanted, unit) > left:
                return unit
        return None

    def reserve(self, amount: Amount) -> Budget:
        """With `amount` reserved; a negative one gives back."""
        return replace(self, reserved=self.reserved + amount)

    def charge(self, amount: Amount, period: str) -> Budget:
        """With `amount` spent in `period`. What is charged to an earlier month is not on this one's budget."""
        rolled = self.rolled(period)
        return replace(rolled, spent=rolled.spent + amount) if period == rolled.period else rolled

    def crossed(self) -> tuple[Budget, list[Crossed]]:
        """The thresholds passed since the last call, the highest of each unit, and the budget that knows it."""
        news = list(self._passed())
        announced = self.announced
        for crossed in news:
            announced = replace(announced, **{crossed.unit: crossed.percent})
        return (replace(self, announced=announced) if news else self), news

    def _passed(self) -> Iterator[Crossed]:
        for unit in UNITS:
            limit, spent = getattr(self.limits, unit), getattr(self.spent, unit)
            if not limit:
                continue
            percent = next((step for step in THRESHOLDS if 100 * spent >= step * limit), 0)
            if percent > getattr(self.announced, unit):
                yield Crossed(unit, percent, limit, spent)


class Crossed(msgspec.Struct, frozen=True):
    """A threshold of a limit that was reached."""

    unit: Unit
    percent: int
    limit: int
    spent: int
