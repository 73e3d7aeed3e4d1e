"""A month's answers as one HTML file that asks no server for anything. What comes from rows is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from importlib.resources import files
from typing import Any

import plotly.offline

from penstock.reading import Row
from penstock_services.dashboards.answers import Answer, Answers
from penstock_services.dashboards.charts import drawn
from penstock_services.dashboards.months import Month
from penstock_services.dashboards.pages import Page

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "font-src data:; img-src data: blob:"
)
"""The browser holds the file to it: whatever a row had smuggled in could reach nothing."""
USD_DECIMALS = 6
"""As `penstock bill` prints."""
SHOWN_CHARACTERS = 300
"""Of one text, such as an error's message."""


def rendered(found: Answers, *, at: datetime) -> str:
    """The whole file.

    Args:
        found: what ClickHouse said.
        at: when it was asked, to be shown.
    """
    month = found.month
    title = f"Penstock, {month.name}"
    whose = f"tenant {month.tenant}" if month.tenant else "all tenants"
    links = "".join(f'<a href="#{page.uid}">{escape(page.title)}</a>' for page, _ in found.pages)
    nothing = f'<p class="empty">{escape(_nothing(month))}</p>' if found.empty else ""
    sections = "\n".join(_section(page, answers, month) for page, answers in found.pages)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>{files(__package__).joinpath("page.css").read_text()}</style>
<script>{plotly.offline.get_plotlyjs()}</script>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(whose)}, as ClickHouse knew it on {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC. All times are UTC.</p>
<nav>{links}</nav>
{nothing}
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def _nothing(month: Month) -> str:
    whose = f" of tenant {month.tenant}" if month.tenant else ""
    return f"ClickHouse knows of nothing that happened in {month.name}{whose}."


def _section(page: Page, answers: Sequence[Answer], month: Month) -> str:
    panels = "\n".join(
        _panel(answer, answer.rows, month, f"{page.uid}-{number}")
        for number, answer in enumerate(answers)
        if answer.rows is not None
    )
    elsewhere = [answer.panel for answer in answers if answer.panel.promql is not None]
    asked = "".join(
        f"<tr><td>{escape(panel.title)}</td><td><code>{escape(panel.promql or '')}</code></td></tr>"
        for panel in elsewhere
    )
    note = (
        '<div class="panel elsewhere"><h3>What only Prometheus knows</h3>'
        f"<p>Not in this report; the dashboard <em>{escape(page.title)}</em> asks for it.</p>"
        f"<table><tbody>{asked}</tbody></table></div>"
    )
    shown = f'<div class="panels">\n{panels}\n</div>'
    return (
        f'<section id="{page.uid}">\n<h2>{escape(page.title)}</h2>\n{shown}\n{note if elsewhere else ""}</section>'
    )


def _panel(answer: Answer, rows: Sequence[Row], month: Month, name: str) -> str:
    panel = answer.panel
    chart = drawn(panel, rows, month, name)
    if not rows:
        body = "<p>Nothing.</p>"
    else:
        body = chart if panel.kind == "lines" else f"{chart}{_table(panel.columns, rows)}"
    return f'<div class="panel"><h3>{escape(panel.title)}</h3>{body}</div>'


def _table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    head = "".join(f"<th{_number(rows[0][column])}>{escape(column.replace('_', ' '))}</th>" for column in columns)
    lines = "\n".join(
        "<tr>"
        + "".join(f"<td{_number(row[column])}>{escape(_text(column, row[column]))}</td>" for column in columns)
        + "</tr>"
        for row in rows
    )
    return f'<div class="rows"><table><thead><tr>{head}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'


def _number(value: Any) -> str:
    numeric = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return ' class="number"' if numeric else ""


def _text(column: str, value: Any) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return f"{value:,.{USD_DECIMALS}f}" if column.endswith("usd") else f"{value:,}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
