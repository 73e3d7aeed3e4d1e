"""What one run shows to the outside: spans and metrics, from its lease to its end."""

from __future__ import annotations

from types import TracebackType

from penstock.agents import Reportable
from penstock_consumers.worker.metrics import RunCounts
from penstock_consumers.worker.spans import RunSpans
from penstock_schemas import records as r
from penstock_schemas.traces import TraceContext


class Observed:
    """One run; use as a context manager around it. Says `lease_lost` for a run that nobody judged.

    Args:
        dispatch: the attempt that runs.
        came_with: the trace of its dispatch.
    """

    def __init__(self, dispatch: r.ExecutionDispatched, came_with: TraceContext | None) -> None:
        self._spans = RunSpans(dispatch, came_with)
        self._counts = RunCounts(dispatch.agent_type)
        self._finish: r.FinishAttempt | None = None
        self.trace = self._spans.position
        """What the run's records carry."""

    def __enter__(self) -> Observed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        finish = self._finish
        if finish is None:
            self._spans.end("lease_lost", None, None)
        else:
            self._spans.end(finish.status, finish.error_type, finish.error_message)
        self._counts.end("lease_lost" if finish is None else finish.status)

    def report(self, record: Reportable) -> None:
        """The run reported this."""
        self._spans.report(record)
        self._counts.report(record)

    def finish(self, finish: r.FinishAttempt) -> None:
        """The run ended, and this is reported of it."""
        self._finish = finish
