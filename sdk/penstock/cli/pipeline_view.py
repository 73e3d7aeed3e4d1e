"""The progress of a pipeline on the screen: a line per event, and on a terminal a status line below them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from penstock.cli.live import STYLES, one_line
from penstock_schemas import records as r

if TYPE_CHECKING:
    from penstock_schemas.records.pipelines import PipelineEvent, StageEvent

RUNNING_SHOWN = 3
"""Names of stages in the status line."""


class PipelineView:
    """Shows events as they come. Use as a context manager.

    Args:
        console: where; the status line appears only if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = console.status("waiting for the budget") if console.is_terminal else None
        self._stages = 0
        self._started_us: int | None = None
        self._stage_started_us: dict[int, int] = {}
        self._running: dict[int, str] = {}
        self._completed: set[int] = set()
        self._tokens = 0

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def begin(self, pipeline_id: str) -> None:
        """Name the pipeline, so that whoever stops looking can come back to it."""
        self._console.print(Text(f"pipeline {pipeline_id}", style="dim"), soft_wrap=True)

    def show(self, event: PipelineEvent) -> None:
        """Show one more event."""
        label, text = self._described(event)
        at = datetime.fromtimestamp(event.occurred_at / 1_000_000, UTC).astimezone()
        style = STYLES.get(label, "cyan")
        line = Text.assemble((f"{at:%H:%M:%S}  ", "dim"), (f"{label:<10}  ", style), one_line(text))
        self._console.print(line, soft_wrap=True)
        if self._status:
            self._status.update(one_line(self._status_text()))

    def _described(self, event: PipelineEvent) -> tuple[str, str]:
        match event:
            case r.PipelineStarted():
                self._stages, self._started_us = event.stages, event.occurred_at
                named = f"{event.name}: " if event.name else ""
                return "started", f"{named}{_counted(event.stages, 'stage')} in {_counted(event.steps, 'step')}"
            case r.PipelineResumed():
                self._started_us = event.occurred_at
                return "resumed", f"with step {event.step + 1}; what was completed is kept"
            case r.StageStarted():
                self._stage_started_us[event.stage_index] = event.occurred_at
                self._running[event.stage_index] = event.stage_name
                return "running", f"{self._place(event)} {event.stage_name} ({event.agent_type})"
            case r.StageCompleted():
                self._completed.add(event.stage_index)
                return "completed", f"{self._place(event)} {event.stage_name}{self._used(event)}"
            case r.StageFailed():
                why = f": {event.error_type}: {event.error_message}" if event.error_type else ""
                place = f"{self._place(event)} {event.stage_name}{self._used(event)}"
                return event.status.replace("_", " "), f"{place}{why}"
            case r.PipelineCompleted():
                return "completed", f"the pipeline{self._whole(event)}"
            case r.PipelineFailed():
                return "failed", f"the pipeline at {event.failed_at_stage}{self._whole(event)}"
            case r.PipelineCancelled():
                return "cancelled", f"the pipeline{self._whole(event)}: {event.reason or 'no reason was given'}"
        return type(event).__name__, ""

    def _place(self, event: StageEvent) -> str:
        return f"{event.stage_index + 1}/{self._stages}" if self._stages else f"{event.stage_index + 1}."

    def _used(self, event: r.StageCompleted | r.StageFailed) -> str:
        self._running.pop(event.stage_index, None)
        self._tokens += event.used_tokens or 0
        started_us = self._stage_started_us.get(event.stage_index)
        took = "" if started_us is None else f" after {_seconds(event.occurred_at - started_us)}"
        return took if event.used_tokens is None else f"{took}, {event.used_tokens:,} tokens"

    def _whole(self, event: PipelineEvent) -> str:
        took = "" if self._started_us is None else f" after {_seconds(event.occurred_at - self._started_us)}"
        return f"{took}, {self._tokens:,} tokens"

    def _status_text(self) -> str:
        names = list(self._running.values())
        more = f" and {len(names) - RUNNING_SHOWN:,} more" if len(names) > RUNNING_SHOWN else ""
        return f"{len(self._completed):,} of {self._stages:,} done; {', '.join(names[:RUNNING_SHOWN])}{more}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _seconds(micros: int) -> str:
    return f"{max(0, micros) / 1_000_000:.1f} s"
