"""Units of time in the tables: microseconds since the epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def period_of(at_us: int) -> str:
    """The accounting month of an instant, `YYYY-MM`."""
    return datetime.fromtimestamp(at_us / SECOND_US, UTC).strftime("%Y-%m")


def month_start_us(at_us: int, months_later: int = 0) -> int:
    """Start of the month that lies `months_later` after (negative: before) the month of `at_us`."""
    moment = datetime.fromtimestamp(at_us / SECOND_US, UTC)
    months = moment.year * 12 + moment.month - 1 + months_later
    return int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp()) * SECOND_US


def start_of_period_us(period: str) -> int:
    """Start of an accounting month, `YYYY-MM`."""
    return int(datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC).timestamp()) * SECOND_US
