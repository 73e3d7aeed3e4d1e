"""What ClickHouse answers to every panel about one month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.reading import Reading, Row
from penstock_services.dashboards.months import FEW_DAYS, Month
from penstock_services.dashboards.pages import Page, Panel, pages


@dataclass(frozen=True, slots=True)
class Answer:
    """A panel and its rows; of a panel that only Prometheus can answer, None."""

    panel: Panel
    rows: Sequence[Row] | None


@dataclass(frozen=True, slots=True)
class Answers:
    """Every page of a month, in the order of the dashboards."""

    month: Month
    pages: Sequence[tuple[Page, Sequence[Answer]]]

    @property
    def empty(self) -> bool:
        """Nothing happened in the month, as far as ClickHouse knows."""
        return not any(answer.rows for _, answers in self.pages for answer in answers if not answer.panel.always)


async def ask(reading: Reading, month: Month) -> Answers:
    """Ask every panel, one after another: a report can wait, and a server has more to do.

    Raises:
        ClickHouseUnreachable: it does not answer, or has no schema.
    """
    if await _within_few_days(reading, month):
        month = month.by_the_hour()
    return Answers(
        month,
        [(page, [await _answer(reading, panel, month) for panel in page.panels]) for page in pages(month.words)],
    )


async def _answer(reading: Reading, panel: Panel, month: Month) -> Answer:
    if panel.sql is None:
        return Answer(panel, None)
    return Answer(panel, await reading.rows(month.span.filled(panel.sql), month.parameters))


async def _within_few_days(reading: Reading, month: Month) -> bool:
    """All executions of the month lie close together."""
    (row,) = await reading.rows(
        "SELECT min(occurred_at) AS first, max(occurred_at) AS last, count() AS events FROM executions_events "
        f"WHERE {month.words['made']}",
        month.parameters,
    )
    return bool(row["events"]) and row["last"] - row["first"] <= FEW_DAYS
