"""One execution with a known truth."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_schemas.ids import execution_id

MAX_ATTEMPTS = 10
"""The most a request may ask for: here no execution may fail because its workers were killed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One execution: the request, and what must come of it."""

    tenant: str
    request_id: str
    agent: str
    input: str
    model: str
    output: str
    calls: int
    """Provider calls the accepted attempt is charged for."""
    last_seq: int
    """Progress records of the accepted attempt."""

    @property
    def execution_id(self) -> str:
        return execution_id(self.tenant, self.request_id)
