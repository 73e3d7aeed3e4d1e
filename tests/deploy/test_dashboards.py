"""The dashboards: what Grafana reads is what was written, and every panel's query is one.

That each has rows, on data that was loaded: tests/consumers/loader/test_dashboards.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse import connect, migrate
from penstock_services.dashboards import grafana_pages
from tests.deploy.metrics import defined, selectors
from tests.deploy.panels import GRAFANA, PANELS, RENDER, SQL_PANELS, as_sent

PROMQL_PANELS = [(panel.title, panel.promql) for panel in PANELS if panel.promql is not None]


@pytest.fixture
def empty(clickhouse_database: ClickHouseSettings) -> Iterator[Any]:
    """A client of a database that was only migrated."""
    migrate(clickhouse_database)
    with connect(clickhouse_database) as client:
        yield client


def test_the_files_grafana_reads_are_made_of_the_pages_as_they_are() -> None:
    files = {path.name: path.read_text() for path in (GRAFANA / "dashboards").glob("*.json")}
    assert files == RENDER.rendered(), "run scripts/dashboards"


def test_a_panel_asks_one_source_and_its_id_is_its_own() -> None:
    assert {(panel.sql is None) + (panel.promql is None) for panel in PANELS} == {1}
    for page in grafana_pages():
        ids = [panel["id"] for panel in RENDER.dashboard(page)["panels"]]
        assert len(ids) == len(set(ids)) >= 8


def test_every_source_a_panel_names_is_provisioned() -> None:
    given = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "penstock.yml").read_text())["datasources"]
    assert {(source["type"], source["uid"]) for source in given} == {
        (source["type"], source["uid"]) for source in (RENDER.CLICKHOUSE, RENDER.PROMETHEUS)
    }


@pytest.mark.parametrize("promql", [pytest.param(promql, id=title) for title, promql in PROMQL_PANELS])
def test_a_panel_asks_prometheus_for_series_and_labels_that_our_code_defines(promql: str) -> None:
    series = defined()
    for name, matchers in selectors(promql):
        assert name in series
        assert {matcher.name for matcher in matchers} <= series[name]


@pytest.mark.integration
@pytest.mark.parametrize("tenant", ["", "acme", "o'neil"])
def test_every_panel_has_the_columns_it_names(empty: Any, tenant: str) -> None:
    for panel, written in SQL_PANELS:
        sql = as_sent(written, tenant)
        columns = [row[0] for row in empty.query(f"DESCRIBE TABLE ({sql})").result_rows]
        assert columns == list(panel.columns), panel.title
        empty.query(sql)
        if panel.kind == "lines":
            assert panel.columns[0] == "time"
