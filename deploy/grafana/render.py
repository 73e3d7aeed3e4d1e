"""Makes Grafana's JSON of `penstock_services/dashboards/pages.yml`. Run by `scripts/dashboards`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from penstock_services.dashboards import Page, Panel, grafana_pages

FOLDER = Path(__file__).parent
DASHBOARDS = FOLDER / "dashboards"
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "penstock-clickhouse"}
PROMETHEUS = {"type": "prometheus", "uid": "penstock-prometheus"}
KINDS = {"lines": "timeseries", "table": "table", "stat": "stat"}
TENANT_BOX = {"name": "tenant", "label": "Tenant (all if empty)", "type": "textbox", "query": ""}
WIDTH, HEIGHT = 12, 9
"""Of Grafana's grid, which is 24 wide."""


def dashboard(page: Page) -> dict[str, Any]:
    """One page as Grafana reads it from a file."""
    return {
        "uid": page.uid,
        "title": page.title,
        "tags": ["penstock"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [TENANT_BOX]},
        "panels": [_panel(number, panel) for number, panel in enumerate(page.panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    kind = KINDS[panel.kind]
    return {
        "id": number + 1,
        "title": panel.title,
        "type": kind,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "datasource": CLICKHOUSE if panel.sql is not None else PROMETHEUS,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [_target(panel)],
    }


def _target(panel: Panel) -> dict[str, Any]:
    if panel.promql is not None:
        return {
            "refId": "A",
            "datasource": PROMETHEUS,
            "expr": panel.promql,
            "instant": panel.kind != "lines",
        }
    over_time = panel.kind == "lines"
    return {
        "refId": "A",
        "datasource": CLICKHOUSE,
        "editorType": "sql",
        "queryType": "timeseries" if over_time else "table",
        "format": 0 if over_time else 1,
        "rawSql": panel.sql,
    }


def rendered() -> dict[str, str]:
    """Every dashboard's file by its name."""
    return {f"{page.uid}.json": json.dumps(dashboard(page), indent=2) + "\n" for page in grafana_pages()}


if __name__ == "__main__":
    for name, text in rendered().items():
        (DASHBOARDS / name).write_text(text)
