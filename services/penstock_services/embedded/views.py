"""The stack on a terminal: progress of a start, the status table, the doctor's table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock_services.embedded.doctor import Finding
from penstock_services.embedded.run_file import RunReport
from penstock_services.embedded.status import StackStatus

_COLOURS = {
    "healthy": "green",
    "done": "green",
    "ok": "green",
    "unhealthy": "red",
    "problem": "red",
    "restarting": "yellow",
    "starting": "yellow",
    "running": "yellow",
}


class StartProgress:
    """Shows a start as it goes: a table that changes in place, or one line a change where that cannot be."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console = console
        self._live = live
        self._shown: dict[str, str] = {}

    def fetching(self, line: str) -> None:
        """One line about downloads, replacing the one before on a terminal."""
        if self._live is not None:
            self._live.update(Text(line))
        elif self._shown.setdefault("fetching", line) == line:
            self._console.print(line)

    def report(self, report: RunReport) -> None:
        """The stack's processes and steps as they are now."""
        states: dict[str, str] = {step.name: step.state for step in report.steps}
        states |= {process.name: process.state for process in report.processes}
        if self._live is not None:
            table = Table.grid(padding=(0, 2))
            for name, state in states.items():
                table.add_row(name, Text(state, style=_COLOURS.get(state, "dim")))
            self._live.update(table)
            return
        for name, state in states.items():
            if self._shown.get(name) != state and state != "waiting":
                self._console.print(f"{name} {state}")
            self._shown[name] = state


@contextmanager
def start_progress(console: Console) -> Iterator[StartProgress]:
    """Progress on `console` while the body runs; the last picture stays."""
    if not console.is_terminal:
        yield StartProgress(console, None)
        return
    with Live(console=console, refresh_per_second=10) as live:
        yield StartProgress(console, live)


def show_status(console: Console, status: StackStatus) -> None:
    """`penstock status`."""
    uptime = f", up {_duration(status.uptime_s)}" if status.uptime_s is not None else ""
    console.print(f"{status.state_folder}: {status.phase}{uptime}, {_megabytes(status.rss_bytes)} resident")
    if status.failure is not None:
        console.print(f"the last start failed: {status.failure.message}", markup=False)
    if status.processes:
        table = Table("process", "state", "pid", "port", "resident", "restarts", "up", "detail", box=None)
        for process in status.processes:
            table.add_row(
                process.name,
                Text(process.state, style=_COLOURS.get(process.state, "")),
                str(process.pid or ""),
                str(next(iter(process.ports.values()), "")),
                _megabytes(process.rss_bytes),
                str(process.restarts),
                _duration(process.uptime_s) if process.uptime_s is not None else "",
                Text(process.detail),
            )
        console.print(table)
    if status.lags:
        table = Table("consumer group", "topic", "lag", box=None)
        for lag in status.lags:
            table.add_row(lag.group, lag.topic, str(lag.lag))
        console.print(table)


def show_findings(console: Console, findings: list[Finding]) -> None:
    """`penstock doctor`."""
    table = Table("check", "", "found", "what to do", box=None)
    for finding in findings:
        result = Text(finding.result, style=_COLOURS[finding.result])
        table.add_row(Text(finding.check), result, Text(finding.found), Text(finding.remedy))
    console.print(table)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.0f} MB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
