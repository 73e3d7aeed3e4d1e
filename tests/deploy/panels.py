"""The dashboards' panels, and their SQL as Grafana sends it."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

from penstock_services.dashboards import Panel, Span, grafana_pages
from penstock_services.dashboards import as_sent as sent_for

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grafana_render", GRAFANA / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RENDER = _loaded()
PANELS: list[Panel] = [panel for page in grafana_pages() for panel in page.panels]
SQL_PANELS = [(panel, panel.sql) for panel in PANELS if panel.sql is not None]


def as_sent(sql: str, tenant: str = "") -> str:
    """`sql` as Grafana sends it for the last and the next hour."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    sent = sent_for(sql, Span(now - hour, now + hour, step_s=60), tenant)
    assert "$" not in sent, sent
    return sent
