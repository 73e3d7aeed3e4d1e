"""The dashboards' panels, and their SQL as Grafana sends it."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grafana_render", GRAFANA / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RENDER = _loaded()
PANELS: list[dict[str, Any]] = [panel for page in RENDER.pages() for panel in page["panels"]]
SQL_PANELS = [panel for panel in PANELS if "sql" in panel]


def as_sent(sql: str, tenant: str = "") -> str:
    """`sql` with the macros of Grafana's ClickHouse plugin put in, for the last and the next hour."""
    span = "toDateTime(now() - INTERVAL 1 HOUR) AND {0} <= toDateTime(now() + INTERVAL 1 HOUR)"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", lambda m: f"({m[1]} >= {span.format(m[1])})", sql)
    sql = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", sql)
    sql = sql.replace("${tenant:sqlstring}", "'" + tenant.replace("'", "''") + "'")
    assert "$" not in sql, sql
    return sql
