"""What stops a world."""

from __future__ import annotations


class Violation(BaseException):
    """An invariant does not hold. Not an `Exception`: nothing in the code under test may catch it."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
