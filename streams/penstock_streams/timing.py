"""Units of time in the tables: microseconds since the epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def period_of(at_us: int) -> str:
    """The accounting month of an instant, `YYYY-MM`."""
    return _period_of_day(at_us // DAY_US)


def month_start_us(at_us: int, months_later: int = 0) -> int:
    """Start of the month that lies `months_later` after (negative: before) the month of `at_us`."""
    return _month_start_us(at_us // DAY_US, months_later)


# Every charge asks three times, of few days; by the calendar that was a sixth of deciding it.
@lru_cache(maxsize=1_024)
def _period_of_day(day: int) -> str:
    return f"{_EPOCH + timedelta(days=day):%Y-%m}"


@lru_cache(maxsize=1_024)
def _month_start_us(day: int, months_later: int) -> int:
    moment = _EPOCH + timedelta(days=day)
    months = moment.year * 12 + moment.month - 1 + months_later
    return (datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC) - _EPOCH).days * DAY_US


def start_of_period_us(period: str) -> int:
    """Start of an accounting month, `YYYY-MM`."""
    return int(datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC).timestamp()) * SECOND_US
