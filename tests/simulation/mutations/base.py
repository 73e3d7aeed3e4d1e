"""What a mutation is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock_streams.kit import Rows


@dataclass(frozen=True)
class Mutation:
    """One guard taken away."""

    what: str
    """The world without the guard, in one sentence."""
    patches: tuple[tuple[Any, str, Any], ...]
    """Owner, attribute and what takes its place."""
    shape: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the world's `Shape` that provoke the missing guard, instead of what the seed draws."""

    def __post_init__(self) -> None:
        for owner, name, _ in self.patches:
            if not hasattr(owner, name):
                raise AttributeError(f"{owner} has no {name}: the guard that {self.what!r} takes away has moved")


class HidingRows:
    """Rows, without those of one type."""

    def __init__(self, rows: Rows, hidden: type[Any]) -> None:
        self._rows, self._hidden = rows, hidden

    def get(self, key: str, row_type: type[Any]) -> Any:
        return None if row_type is self._hidden else self._rows.get(key, row_type)


def hiding(method: Any, hidden: type[Any]) -> Any:
    """A decide method that does not see rows of that type."""
    return lambda self, rows, *rest: method(self, HidingRows(rows, hidden), *rest)
