"""The macros of Grafana's ClickHouse plugin that `pages.yml` uses, put in for a span of time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Span:
    """A time that panels are asked about.

    Attributes:
        start, end: aware; `end` is not in it.
        step_s: seconds that one point or bar is about.
    """

    start: datetime
    end: datetime
    step_s: int

    def within(self, column: str) -> str:
        """The condition that a time lies in the span."""
        return f"({column} >= {_moment(self.start)} AND {column} < {_moment(self.end)})"

    def filled(self, sql: str) -> str:
        """`sql` without macros."""
        sql = re.sub(r"\$__timeFilter\((\w+)\)", lambda found: self.within(found[1]), sql)
        sql = sql.replace("$__fromTime", _moment(self.start)).replace("$__toTime", _moment(self.end))
        interval = rf"toStartOfInterval(toDateTime(\1, 'UTC'), INTERVAL {self.step_s} second)"
        return re.sub(r"\$__timeInterval\((\w+)\)", interval, sql)


def _moment(at: datetime) -> str:
    return f"toDateTime64('{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}', 0, 'UTC')"
