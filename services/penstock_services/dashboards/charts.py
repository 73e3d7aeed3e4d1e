"""Panels' answers as Plotly's figures. What comes from rows is escaped: Plotly reads markup in names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import plotly.graph_objects as go
import plotly.io

from penstock.reading import Row
from penstock_services.dashboards.months import DAY_S, Month
from penstock_services.dashboards.pages import Panel

MOST_SERIES = 12
"""What a legend of one panel can hold; smaller ones are summed up as one."""
MOST_BARS = 15
HEIGHT_PX = 290
AXIS_PX, BAR_PX = 90, 26
COLOURS = (
    "#2f6f9f", "#e08a2e", "#4c9f70", "#c0504d", "#8064a2", "#5ab4c4",
    "#b8a13a", "#d977a8", "#6b7a8f", "#9c6b4e", "#7fb069", "#394b59",
)  # fmt: skip
OTHERS = "others"
Series = Mapping[str, Mapping[datetime, float]]


def drawn(panel: Panel, rows: Sequence[Row], month: Month, name: str) -> str:
    """The chart of a panel that has one, as HTML without Plotly's own script; empty for a plain table.

    Args:
        name: the element's id.
    """
    if not rows:
        return ""
    if panel.kind == "lines":
        return _html(_over_time(panel, rows, month), name)
    if panel.bars is not None:
        return _html(_bars(*panel.bars, rows), name)
    return ""


def _over_time(panel: Panel, rows: Sequence[Row], month: Month) -> go.Figure:
    labelled = len(panel.columns) == 3 and isinstance(rows[0][panel.columns[1]], str)
    series = _by_label(panel.columns, rows) if labelled else _by_column(panel.columns, rows)
    figure = _figure(HEIGHT_PX)
    for label, points in series.items():
        x, y = [_utc(at) for at in points], list(points.values())
        if panel.unit == "s":  # of quantiles no part is part of another
            figure.add_scatter(x=x, y=y, name=escape(label), mode="lines+markers")
        else:
            figure.add_bar(x=x, y=y, name=escape(label))
    figure.update_layout(barmode="stack" if labelled else "group", showlegend=True)
    if month.span.step_s == DAY_S:
        half = timedelta(seconds=month.span.step_s / 2)  # a bar lies about its time
        figure.update_xaxes(range=[_utc(month.span.start - half), _utc(month.span.end - half)])
    figure.update_yaxes(title=_axis(panel), rangemode="tozero")
    return figure


def _by_label(columns: Sequence[str], rows: Sequence[Row]) -> Series:
    """Rows of (time, label, value), the largest labels first."""
    _, label, value = columns
    totals: dict[str, float] = defaultdict(float)
    for row in rows:
        totals[row[label]] += float(row[value])
    kept = sorted(totals, key=lambda name: (-totals[name], name))
    if len(kept) > MOST_SERIES:
        kept = [*kept[: MOST_SERIES - 1], OTHERS]
    series: dict[str, dict[datetime, float]] = {name: defaultdict(float) for name in kept}
    for row in rows:
        name = row[label] if row[label] in series else OTHERS
        series[name][row[columns[0]]] += float(row[value])
    return series


def _by_column(columns: Sequence[str], rows: Sequence[Row]) -> Series:
    """Rows of (time, value, value, …)."""
    return {name: {row[columns[0]]: float(row[name]) for row in rows} for name in columns[1:]}


def _bars(label: str, value: str, rows: Sequence[Row]) -> go.Figure:
    totals: dict[str, float] = defaultdict(float)
    for row in rows:
        totals[str(row[label]) or "-"] += float(row[value] or 0)
    largest = sorted(totals.items(), key=lambda bar: bar[1])[-MOST_BARS:]
    figure = _figure(AXIS_PX + BAR_PX * len(largest))
    figure.add_bar(x=[size for _, size in largest], y=[escape(name) for name, _ in largest], orientation="h")
    figure.update_xaxes(title=value.replace("_", " "), rangemode="tozero")
    figure.update_yaxes(type="category", ticksuffix=" ")
    return figure


def _figure(height_px: int) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        colorway=COLOURS,
        height=height_px,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        font={"family": "system-ui, sans-serif", "size": 12},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        bargap=0.25,
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure


def _html(figure: go.Figure, name: str) -> str:
    config: dict[str, Any] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    html: str = plotly.io.to_html(figure, config=config, include_plotlyjs=False, full_html=False, div_id=name)
    return html


def _axis(panel: Panel) -> str:
    return {"s": "seconds", "currencyUSD": "USD"}.get(panel.unit, "")


def _utc(at: datetime) -> str:
    """Without a zone: a browser would show its own."""
    return (at.astimezone(UTC) if at.tzinfo else at).strftime("%Y-%m-%d %H:%M:%S")
