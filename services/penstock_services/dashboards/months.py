"""A month as a report asks about it: the words of `pages.yml` for it, instead of Grafana's."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

from penstock.arguments import Arguments, CallerTenant, checked
from penstock_services.dashboards.macros import Span

TENANT = "({tenant:String} = '' OR tenant_id = {tenant:String})"
"""ClickHouse decides the first half before it reads, so that a tenant's own rows are found by the tables' keys."""
DAY_S, HOUR_S = 86_400, 3_600
FEW_DAYS = timedelta(days=3)
"""What happened within them is drawn by the hour: three bars would say nothing."""
NAME = re.compile("[0-9]{4}-(0[1-9]|1[0-2])")
YEARS = range(1970, 2100)
"""Of ClickHouse's DateTime."""


def _of_the_calendar(month: str) -> str:
    if not NAME.fullmatch(month) or int(month[:4]) not in YEARS:
        raise ValueError(f"must be YYYY-MM, such as 2026-11, of a year from {YEARS[0]} to {YEARS[-1]}")
    return month


class MonthArguments(Arguments):
    """Arguments of `penstock report`."""

    month: Annotated[str, AfterValidator(_of_the_calendar)]
    """YYYY-MM."""
    tenant: CallerTenant | None = None


@dataclass(frozen=True, slots=True)
class Month:
    """An accounting month (UTC), of one tenant or of all.

    Attributes:
        name: YYYY-MM.
        span: from its beginning until it is over.
        tenant: whose; empty for all.
    """

    name: str
    span: Span
    tenant: str

    @property
    def parameters(self) -> dict[str, str]:
        """For every query; all the rest is digits."""
        return {"tenant": self.tenant}

    @property
    def words(self) -> dict[str, str]:
        """What `pages.yml` has placeholders for.

        Everything comes from rows and nothing from the roll-ups, which forget closed months and may be minutes
        old: the report's sums are the bill's.
        """
        return {
            "tenant": TENANT,
            "billed": f"{TENANT} AND period = '{self.name}'",
            "charged": f"{TENANT} AND period = '{self.name}'",
            "made": f"{TENANT} AND {self.span.within('occurred_at')}",
            "by_hours": "false",
            "by_rows": "true",
            "month": f"'{self.name}'",
            "spend": f"""(
            SELECT tenant_id, period, toStartOfHour(toDateTime(occurred_at, 'UTC')) AS hour, model,
              ifNull(agent_type, '') AS agent_type, countIf(record_type = 'UsageCharged') AS calls,
              sum(l.cost_nanousd) AS cost_nanousd
            FROM v_usage_lines AS l
            WHERE period = '{self.name}' AND {TENANT}
            GROUP BY tenant_id, period, hour, model, agent_type
          )""",
        }

    def by_the_hour(self) -> Month:
        """The same, with a point for every hour instead of every day."""
        return replace(self, span=replace(self.span, step_s=HOUR_S))


def month_of(month: str, tenant: str | None = None) -> Month:
    """The month named YYYY-MM, of `tenant` or of all.

    Raises:
        InvalidInput: no month of the calendar, or no name of a tenant.
    """
    wanted = checked(MonthArguments, month=month, tenant=tenant)
    year, number = int(wanted.month[:4]), int(wanted.month[5:])
    start = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return Month(wanted.month, Span(start, end, DAY_S), wanted.tenant or "")
