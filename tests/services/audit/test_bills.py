"""An audit judges the bills that `penstock bill` shows: the sums of a closed month, where these are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from penstock.settings import ClickHouseSettings
from penstock_services.audit.bills import read_bills
from penstock_services.clickhouse import connect, migrate
from penstock_services.clickhouse.summing import sum_up

pytestmark = pytest.mark.integration
MONTH = "2025-02"


@pytest.fixture
def client(clickhouse_database: ClickHouseSettings) -> Iterator[Any]:
    migrate(clickhouse_database)
    with connect(clickhouse_database) as client:
        yield client


def charge(client: Any, tenant: str, line: str, cost: int, pipeline: str | None = None) -> None:
    names = ["tenant_id", "line_id", "period", "record_type", "cost_nanousd", "pipeline_id"]
    client.insert("ledger", [[tenant, line, MONTH, "UsageCharged", cost, pipeline]], column_names=names)


def test_bills_come_from_lines_and_from_the_sums_of_those_whose_sums_have_them_all(
    client: Any, clickhouse_database: ClickHouseSettings
):
    for tenant in ("summed", "late"):
        charge(client, tenant, "1", 10, "p")
        charge(client, tenant, "2", 5)
    from_lines = read_bills(client, MONTH)
    assert from_lines[0] == {"summed": 15, "late": 15}
    assert from_lines[1] == {("summed", "pipeline", "p"): 10, ("late", "pipeline", "p"): 10}
    client.insert(
        "accounts_events",
        [["system", "c", "PeriodClosed", MONTH]],
        column_names=["tenant_id", "event_id", "record_type", "period"],
    )
    assert sum_up(client, clickhouse_database) == [MONTH]
    assert read_bills(client, MONTH) == from_lines
    client.command("ALTER TABLE closed_bills UPDATE cost_nanousd = 99 WHERE 1")  # sums that are wrong
    charge(client, "late", "3", 1)  # passed over: they lack a line
    assert read_bills(client, MONTH) == (
        {"summed": 99, "late": 16},
        {("summed", "pipeline", "p"): 99, ("late", "pipeline", "p"): 10},
    )
