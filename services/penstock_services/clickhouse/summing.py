"""Bills of closed months, summed up once, so that they are read without a look at each of their lines.

The order for one month, and what a crash after each step costs:
 1. drop what an earlier attempt left in the making. Cost: none.
 2. sum up the month in the making. Cost: it is done again.
 3. replace what was summed up of the month, at once. From here on its bills are read from the new sums.

Whoever reads sums holds their number of lines to the ledger's (`penstock.billing`), so sums that lack a line, or
that a replay has made too few for, are passed over until they are made again.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from penstock.billing import DIMENSIONS, ORIGINS, SUMS, TOTAL, sums_by_section
from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse.client import unreachable

LIMITS = {"max_bytes_before_external_group_by": 1 << 30}
"""A platform's pipelines of a month may be more than memory holds."""
_TO_SUM = f"""
    SELECT period FROM (SELECT period, count() AS lines FROM ledger GROUP BY period) AS there
    LEFT JOIN (
        SELECT period, sum(lines) AS lines FROM closed_bills WHERE section = '{TOTAL}' GROUP BY period
    ) AS summed USING (period)
    WHERE period <= (SELECT max(period) FROM v_periods) AND there.lines != summed.lines
    ORDER BY period
"""
_COLUMNS = ("section", "name", "calls", *SUMS, "lines")


def sum_up(client: Client, settings: ClickHouseSettings) -> list[str]:
    """Sum up every closed month whose ledger is not what its sums were made of; returns those months.

    Raises:
        ClickHouseUnreachable: the server did not do it.
    """
    try:
        months = [str(month) for (month,) in client.query(_TO_SUM).result_rows]
        for month in months:
            _sum_up(client, month)
    except (ClickHouseError, OSError) as exc:
        raise unreachable(settings, exc) from exc
    return months


def _sum_up(client: Client, month: str) -> None:
    parameters = {"month": month}
    columns = ", ".join(_COLUMNS)
    lines = "FROM ledger AS l FINAL WHERE period = {month:String}"
    sums = sums_by_section(lines, {**DIMENSIONS, **ORIGINS}, whose="tenant_id")
    client.command("ALTER TABLE closed_bills_in_the_making DROP PARTITION {month:String}", parameters=parameters)
    client.command(
        f"""
        INSERT INTO closed_bills_in_the_making (tenant_id, period, {columns})
        SELECT tenant_id, {{month:String}}, {columns} FROM ({sums})
        """,
        parameters=parameters,
        settings=LIMITS,
    )
    client.command(
        "ALTER TABLE closed_bills REPLACE PARTITION {month:String} FROM closed_bills_in_the_making",
        parameters=parameters,
    )
