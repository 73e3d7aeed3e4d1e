"""What a report's file says: its tables as text, and its charts as what they draw."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any


class Tables(HTMLParser):
    """Rows of text by the title of their panel."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._open = self._title = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._open = tag
        if tag == "h3":
            self._title = ""
        elif tag == "tr":
            self.rows.setdefault(self._title, []).append([])
        elif tag in ("td", "th"):
            self.rows[self._title][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "h3":
            self._title += data
        elif self._open in ("td", "th", "code"):
            self.rows[self._title][-1][-1] += data


def series(page: str, chart: str) -> list[dict[str, Any]]:
    """What the chart with this id draws."""
    begin = re.search(rf'Plotly\.newPlot\(\s*"{chart}",\s*', page)
    assert begin is not None, chart
    drawn: list[dict[str, Any]] = json.JSONDecoder().raw_decode(page, begin.end())[0]
    return drawn
