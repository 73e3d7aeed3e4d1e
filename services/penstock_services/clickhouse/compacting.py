"""Closed months as one part each, so that their bills need no merging while they are read."""

from __future__ import annotations

import time

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from penstock.errors import NotConfirmed
from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse.client import unreachable

LOADED_WITHIN_S = 60.0
LOOK_AGAIN_S = 0.2


def await_closed(client: Client, period: str, partitions: int) -> None:
    """Wait until it is loaded that `partitions` partitions closed `period`: so is what they charged before.

    Raises:
        NotConfirmed: the loader is further behind than it can catch up in a minute.
    """
    give_up_at_s = time.monotonic() + LOADED_WITHIN_S
    query = "SELECT max(partitions) FROM v_periods WHERE period = {period:String}"
    while client.query(query, parameters={"period": period}).result_rows[0][0] < partitions:
        if time.monotonic() > give_up_at_s:
            raise NotConfirmed(f"ClickHouse has not loaded all of {period} within {LOADED_WITHIN_S:g} s")
        time.sleep(LOOK_AGAIN_S)


def compact(client: Client, settings: ClickHouseSettings) -> list[str]:
    """Merge the ledger's parts of every closed month that has several; returns those months.

    Changes no row that a query with FINAL sees, so it may be repeated, and may end in the middle.

    Raises:
        ClickHouseUnreachable: the server did not do it.
    """
    query = """
        SELECT partition FROM system.parts
        WHERE database = currentDatabase() AND table = 'ledger' AND active
            AND partition <= (SELECT max(period) FROM v_periods)
        GROUP BY partition HAVING count() > 1 ORDER BY partition
    """
    try:
        months = [str(partition) for (partition,) in client.query(query).result_rows]
        for month in months:
            client.command(
                "OPTIMIZE TABLE ledger PARTITION {month:String} FINAL",
                parameters={"month": month},
                settings={"optimize_throw_if_noop": 1},
            )
    except (ClickHouseError, OSError) as exc:
        raise unreachable(settings, exc) from exc
    return months
