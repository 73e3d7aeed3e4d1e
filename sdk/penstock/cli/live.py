"""The progress of a run on the screen: one line per record, and on a terminal a live status line below them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from penstock.cli.output import printable
from penstock.followed import Item
from penstock.models import ProgressGap
from penstock_schemas import records as r

TEXT_SHOWN = 120
"""Characters of an agent's text in one line."""
BAR_CELLS = 20
STYLES = {"completed": "green", "failed": "red", "timed out": "red", "rejected": "red", "refused": "red"}


class LiveView:
    """Shows records as they come. Use as a context manager.

    Args:
        console: where; the status line appears only if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = console.status("waiting for accounts") if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def begin(self, execution_id: str) -> None:
        """Name the execution, so that whoever stops looking can come back to it."""
        self._console.print(Text(f"execution {execution_id}", style="dim"), soft_wrap=True)

    def show(self, record: Item) -> None:
        """Show one more record."""
        label, text = described(record)
        at = datetime.now().astimezone()
        if isinstance(record, r.Record):
            at = datetime.fromtimestamp(record.occurred_at / 1_000_000, UTC).astimezone()
        line = Text.assemble(
            (f"{at:%H:%M:%S}  ", "dim"), (f"{label:<10}  ", STYLES.get(label, "cyan")), one_line(text)
        )
        self._console.print(line, soft_wrap=True)
        if self._status:
            self._status.update(Text(_status_after(record)))


def described(record: Item) -> tuple[str, str]:
    """A label of at most ten characters and a text for one record of an execution."""
    match record:
        case r.ExecutionQueued():
            return "queued", "the tenant is at its concurrency; waiting in arrival order"
        case r.ExecutionAdmitted():
            return "admitted", f"agent {record.agent_type}, tier {record.tier}, deadline {record.timeout_s} s"
        case r.ExecutionRejected():
            return "rejected", f"{record.reason}: {record.detail}"
        case r.RequestRefused():
            return "refused", f"{record.reason}: {record.detail}"
        case r.AttemptStarted():
            return "started", f"attempt {record.epoch} on {record.worker_id}"
        case r.AttemptLost():
            return "lost", f"attempt {record.epoch}: {record.reason}; another follows"
        case r.AttemptFailed():
            return "retrying", f"attempt {record.epoch} failed: {record.error_type}: {record.error_message}"
        case r.StaleAttemptReported():
            return "stale", f"attempt {record.epoch} reported {record.status}, which no longer counts"
        case r.ExecutionCompleted():
            return "completed", f"after {_attempts(record.attempts)}"
        case r.ExecutionFailed():
            why = f"{record.error_type}: {record.error_message}"
            return "failed", f"after {_attempts(record.attempts)}: {why}"
        case r.ExecutionTimedOut():
            return "timed out", f"after {record.timeout_s} s and {_attempts(record.attempts)}"
        case r.ExecutionCancelled():
            return "cancelled", f"after {_attempts(record.attempts)}: {record.reason or 'no reason was given'}"
        case r.CancelRefused():
            return "refused", f"to cancel: {record.reason}: {record.detail}"
        case r.StepStarted():
            return "step", f"{record.step_number} {record.step_type} {record.name}"
        case r.StepFinished():
            error = f": {record.error}" if record.error else ""
            return "step", f"{record.step_number} {record.status} after {record.duration_ms} ms{error}"
        case r.ToolCalled():
            summary = f": {record.summary}" if record.summary else ""
            return "tool", f"{record.tool_name} {record.status} after {record.duration_ms} ms{summary}"
        case r.ProgressReported(fraction=None):
            return "progress", record.message
        case r.ProgressReported():
            return "progress", f"{record.fraction:.0%} {record.message}"
        case r.OutputEmitted():
            return "output", record.text
        case r.ArtifactKept():
            return "kept", f"{record.path} ({record.size_bytes:,} bytes)"
        case ProgressGap():
            which = f"{record.from_seq} to {record.to_seq} of attempt {record.epoch}"
            return "gap", f"progress {which} can no longer be read"
    return type(record).__name__, ""


def one_line(text: str) -> str:
    """The beginning of `text`, safe to print, on one line."""
    flat = " ".join(printable(text[: 2 * TEXT_SHOWN]).split())
    return flat if len(flat) <= TEXT_SHOWN else f"{flat[: TEXT_SHOWN - 1]}…"


def _status_after(record: Item) -> str:
    match record:
        case r.ProgressReported(fraction=float() as fraction):
            done = round(fraction * BAR_CELLS)
            return f"{'█' * done}{'░' * (BAR_CELLS - done)} {fraction:.0%} {one_line(record.message)}"
        case r.StepStarted():
            return f"step {record.step_number}: {one_line(record.name)}"
        case r.ExecutionQueued():
            return "queued"
        case r.ExecutionAdmitted() | r.AttemptLost() | r.AttemptFailed():
            return "waiting for a worker"
    return "running"


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"
