"""Rows as they will be after a decision that is being made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from penstock_streams.kit import Decision, Row, Rows

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Overlay:
    """The rows, with those that `decision` puts so far."""

    rows: Rows
    decision: Decision

    def get(self, key: str, row_type: type[R]) -> R | None:
        """As `Rows.get`."""
        put = self.decision.puts.get(key)
        return put if isinstance(put, row_type) else self.rows.get(key, row_type)
