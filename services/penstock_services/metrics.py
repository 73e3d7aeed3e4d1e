"""What every process's metrics share: label sets that are cached, and bounded where tenants choose the values."""

from __future__ import annotations

from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for every child, which nothing here reads

MOST_LABEL_VALUES = 100
"""Distinct values of one label that tenants choose; each is a series that Prometheus keeps."""
MOST_LABEL_CHARS = 64
OTHER = "other"
"""All further values together, and those that are too long for a label."""

M = TypeVar("M", Counter, Gauge, Histogram)


class BoundedValues:
    """Values of one label: the first `MOST_LABEL_VALUES` as they are, the rest as `OTHER`."""

    def __init__(self, most: int = MOST_LABEL_VALUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._most or len(value) > MOST_LABEL_CHARS or not value.isprintable():
            return OTHER
        self._known.add(value)
        return value


class Children(Generic[M]):
    """The children of one metric, cached: `labels()` costs a microsecond, a known child a third of it."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child


_letters = Children(Counter("penstock_dead_letters", "Records and timers given up on", ["stage", "code"]))
_letter_codes = BoundedValues()


def count_dead_letters(stage: str, code: str, number: int = 1) -> None:
    """Count dead letters that are safely on Kafka; `code` is an error's."""
    _letters(stage, _letter_codes(code)).inc(number)
