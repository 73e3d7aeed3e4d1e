"""`pages.yml`, checked, with the words of whoever asks put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from penstock.agents.context import SANDBOX_MODEL

PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Panel(BaseModel):
    """One question: to ClickHouse (`sql`) or to Prometheus (`promql`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    kind: Literal["lines", "table", "stat"]
    unit: str = "short"
    """Grafana's name of the values' unit."""
    columns: tuple[str, ...] = ()
    """What `sql` answers; the first one of `lines` is `time`."""
    sql: str | None = None
    promql: str | None = None
    bars: tuple[str, str] | None = None
    """Of a table: the columns that name and size a bar in the report."""
    always: bool = False
    """It has rows also for a time in which nothing happened."""

    @model_validator(mode="after")
    def _asks_one_source(self) -> Panel:
        if (self.sql is None) == (self.promql is None):
            raise ValueError(f"panel {self.title!r} needs either sql or promql")
        if not {*(self.bars or ())} <= {*self.columns}:
            raise ValueError(f"panel {self.title!r} has bars of columns it does not have")
        return self


class Page(BaseModel):
    """One dashboard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str
    title: str
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]


def pages(words: Mapping[str, str]) -> tuple[Page, ...]:
    """Every page, with `{name}` in each `sql` replaced by `words[name]`.

    Raises:
        KeyError: a panel has a placeholder that nobody gave a word for.
    """
    known = {"sandbox_model": SANDBOX_MODEL, **words}
    return tuple(
        page.model_copy(update={"panels": tuple(_worded(panel, known) for panel in page.panels)})
        for page in _written()
    )


def _worded(panel: Panel, words: Mapping[str, str]) -> Panel:
    if panel.sql is None:
        return panel
    return panel.model_copy(update={"sql": PLACEHOLDER.sub(lambda found: words[found[1]], panel.sql)})


@cache
def _written() -> tuple[Page, ...]:
    text = files(__package__).joinpath("pages.yml").read_text()
    return tuple(Page.model_validate(page) for page in yaml.safe_load(text)["pages"])
