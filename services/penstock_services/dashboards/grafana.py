"""How Grafana asks a panel: about the time and the tenant that are chosen above the page."""

from __future__ import annotations

from penstock_services.dashboards.macros import Span
from penstock_services.dashboards.pages import Page, pages

TENANT = "(${tenant:sqlstring} = '' OR tenant_id = ${tenant:sqlstring})"
"""ClickHouse decides the first half before it reads, so that a tenant's own rows are found by the tables' keys."""
BY_HOURS = "($__fromTime >= now() - INTERVAL 31 DAY AND $__toTime > $__fromTime + INTERVAL 2 DAY)"
"""The roll-ups hold 32 days by the hour; two days of rows are read fast enough, and shown by the minute."""
WORDS = {
    "tenant": TENANT,
    "billed": TENANT,
    "made": TENANT,
    "charged": f"{TENANT} AND $__timeFilter(occurred_at)",
    "by_hours": BY_HOURS,
    "by_rows": f"NOT {BY_HOURS}",
    "month": "formatDateTime(now('UTC'), '%Y-%m')",
    "spend": "v_spend_hourly",
}


def grafana_pages() -> tuple[Page, ...]:
    """The pages as they are in Grafana's files, with its variable and its macros."""
    return pages(WORDS)


def as_sent(sql: str, span: Span, tenant: str = "") -> str:
    """The query that Grafana makes of a panel's `sql`."""
    return span.filled(sql).replace("${tenant:sqlstring}", "'" + tenant.replace("'", "''") + "'")
