"""The dashboards' panels, written once in `pages.yml`: Grafana's files and the monthly report are made of them."""

from penstock_services.dashboards.grafana import as_sent, grafana_pages
from penstock_services.dashboards.macros import Span
from penstock_services.dashboards.months import Month, month_of
from penstock_services.dashboards.pages import Page, Panel

__all__ = ["Month", "Page", "Panel", "Span", "as_sent", "grafana_pages", "month_of"]
