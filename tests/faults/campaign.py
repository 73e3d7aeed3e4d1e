"""All faults in one world, one after the other, and every control in a world of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.faults.building import world
from tests.faults.catalog import CONTROLS, FAULTS, Control, Fault
from tests.faults.measures import Measures
from tests.faults.servers import registry
from tests.faults.trial import Struck, Trial, audit
from tests.faults.verdict import Verdict
from tests.faults.world import World

CONTROL_SETTLE_S = 20.0
"""How long a control waits for what may never end; with all guards on everything ends sooner."""
FINDINGS_SHOWN = 20
CONTROL_ROUNDS = 5
"""A guard's absence shows when the blow hits the right moment: so often it may miss."""
Say = Callable[[str], None]
Played = TypeVar("Played", Fault, Control)


@dataclass(frozen=True, slots=True)
class FaultRow:
    fault: Fault
    rounds: int
    blows: int
    verdict: Verdict
    struck: Struck
    measures: Measures
    audit_exit: int
    took_s: float

    @property
    def passed(self) -> bool:
        return not self.verdict.violations and self.audit_exit == 0


@dataclass(frozen=True, slots=True)
class ControlRow:
    control: Control
    rounds: int
    verdict: Verdict
    took_s: float

    @property
    def passed(self) -> bool:
        """Whether it found what it had to find."""
        return bool(getattr(self.verdict, self.control.finds))


@dataclass
class Report:
    faults: list[FaultRow] = field(default_factory=list)
    controls: list[ControlRow] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What kept a fault from being judged."""
    refused: list[str] = field(default_factory=list)
    """What this machine does not allow to be played, and why."""

    @property
    def passed(self) -> bool:
        return not self.errors and all(row.passed for row in (*self.faults, *self.controls))


async def campaign(folder: Path, *, full: bool, only: str, say: Say) -> Report:
    """Play everything whose name has `only` in it.

    Args:
        folder: holds data and logs, one folder per world.
        full: all rounds, one world after the other; else one round of each, controls beside the faults.
        say: told each result as it comes.
    """
    report = Report()
    faults = [fault for fault in FAULTS if only in fault.name and (full or fault.times)]
    controls = [control for control in CONTROLS if only in control.guard and (full or control.short)]
    faults = _allowed(faults, lambda fault: fault.name, folder, report, say)
    controls = _allowed(controls, lambda control: f"control: without {control.guard}", folder, report, say)
    left = iter(enumerate(controls))
    async with registry(folder) as registry_url:

        async def play_faults_then_controls() -> None:
            await _play_faults(registry_url, folder, faults, full, report, say)
            await _play_controls(registry_url, folder, left, full, report, say)

        if full:
            await play_faults_then_controls()
        else:  # controls also beside the faults, as far as they go
            beside = _play_controls(registry_url, folder, left, full, report, say)
            await asyncio.gather(play_faults_then_controls(), beside)
    return report


def _allowed(
    played: Sequence[Played], name: Callable[[Played], str], folder: Path, report: Report, say: Say
) -> list[Played]:
    """Those that this machine allows."""
    allowed = []
    for each in played:
        if (reason := each.refused(folder / "tried")) is None:
            allowed.append(each)
        else:
            report.refused.append(f"{name(each)}: {reason}")
            say(f"not played   {report.refused[-1]}")
    return allowed


async def _play_faults(
    registry_url: str, folder: Path, faults: Sequence[Fault], full: bool, report: Report, say: Say
) -> None:
    """In one world for each number of brokers; a new one after a fault from which it did not come back."""
    pending = list(enumerate(faults))
    while pending:
        first, brokers = pending[0][0], pending[0][1].brokers
        async with world(registry_url, folder / f"faults-{first}", brokers=brokers) as made:
            while pending and pending[0][1].brokers == brokers:
                number, fault = pending.pop(0)
                rounds, blows = (fault.full_rounds, fault.full_times) if full else (1, fault.times)
                try:
                    row = await play_fault(made, f"f{number}", fault, rounds, blows, chained=full or fault.chained)
                except TimeoutError as exc:
                    report.errors.append(f"{fault.name}: {exc}")
                    say(f"FAIL         {report.errors[-1]}")
                    break
                report.faults.append(row)
                chains = row.verdict.chains
                counts = f"{row.verdict.executions} executions, {chains.turns} turns, {chains.stages} stages"
                say(f"{'ok  ' if row.passed else 'FAIL'} {row.took_s:4.0f} s  {fault.name}: {counts}")
                for finding in row.verdict.violations[:FINDINGS_SHOWN]:
                    say(f"       {finding}")


async def play_fault(made: World, name: str, fault: Fault, rounds: int, blows: int, *, chained: bool) -> FaultRow:
    """All rounds of one fault, and the audit."""
    begin = time.monotonic()
    trial = Trial(made, name, chained=chained)
    for _ in range(rounds):
        await trial.play(fault.inject, blows)
    audit_exit, said = await audit(made)
    (made.folder / f"audit-{name}.txt").write_text(said)
    verdict, took_s = await trial.verdict(), time.monotonic() - begin
    return FaultRow(fault, rounds, rounds * blows, verdict, trial.struck, trial.measures, audit_exit, took_s)


async def _play_controls(
    registry_url: str, folder: Path, left: Iterator[tuple[int, Control]], full: bool, report: Report, say: Say
) -> None:
    """One after the other those that nobody plays yet."""
    for number, control in left:
        row = await play_control(registry_url, folder / f"control-{number}", control, chained=full)
        report.controls.append(row)
        say(f"{'ok  ' if row.passed else 'FAIL'} {row.took_s:4.0f} s  control: without {control.guard}")


async def play_control(registry_url: str, folder: Path, control: Control, *, chained: bool) -> ControlRow:
    """Rounds without a guard until they find what they must."""
    begin = time.monotonic()
    async with world(registry_url, folder, guard=control.guard, streams=control.streams) as made:
        trial = Trial(made, "c", chained=chained, settle_s=CONTROL_SETTLE_S)
        for rounds in range(1, CONTROL_ROUNDS + 1):
            await trial.play(control.inject, 1)
            row = ControlRow(control, rounds, await trial.verdict(), time.monotonic() - begin)
            if row.passed:
                break
    return row
