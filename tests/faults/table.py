"""What a campaign found, as the Markdown of docs/faults.md."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.faults.campaign import ControlRow, FaultRow, Report
from tests.faults.measures import Measures
from tests.faults.world import HOLD_S, SESSION_S

FAULT_HEAD = (
    "fault",
    "rounds",
    "blows",
    "executions",
    "lost",
    "doubled",
    "missing or doubled charges",
    "gaps in progress",
    "rows missing or doubled",
    "audit",
    "attempts taken away",
    "recovery s, median",
    "max",
    "guard",
)
CHAIN_HEAD = (
    "fault",
    "conversations",
    "turns",
    "lost",
    "doubled",
    "out of order",
    "attempts at turns taken away",
    "pipelines",
    "stages",
    "not ended, or twice",
    "stages twice",
    "joins not once",
    "attempts at stages taken away",
    "wrong texts",
)
CONTROL_HEAD = (
    "guard off",
    "rounds",
    "executions",
    "lost",
    "doubled",
    "charges",
    "gaps in progress",
    "rows",
    "turns",
    "pipelines",
)


def markdown(report: Report) -> str:
    """Four tables: faults, what they did to conversations and pipelines, controls, times."""
    measures = Measures()
    for row in report.faults:
        measures.add(row.measures)
    parts = [
        _table(FAULT_HEAD, [_fault_cells(row) for row in report.faults]),
        _table(CHAIN_HEAD, [_chain_cells(row) for row in report.faults if row.verdict.chains.turns]),
        _table(CONTROL_HEAD, [_control_cells(row) for row in report.controls]),
        _table(("time", "cases", "median s", "95 % within s", "max s"), _time_rows(measures)),
    ]
    return "\n\n".join(part for part in parts if part)


def _fault_cells(row: FaultRow) -> list[str]:
    verdict, recovery_s = row.verdict, row.measures.recovery_s
    counts = [row.rounds, row.blows, verdict.executions]
    found = [len(each) for each in _findings(row)]
    agreed = "agrees" if row.audit_exit == 0 else f"exit {row.audit_exit}"
    times = [_seconds(median(recovery_s)), _seconds(max(recovery_s))] if recovery_s else ["", ""]
    return [
        row.fault.name,
        *_texts(counts),
        *_texts(found),
        agreed,
        str(row.struck.attempts),
        *times,
        row.fault.guard,
    ]


def _chain_cells(row: FaultRow) -> list[str]:
    chains = row.verdict.chains
    of_turns = [chains.turns_lost, chains.turns_doubled, chains.turns_disordered]
    of_stages = [chains.pipelines_lost, chains.stages_doubled, chains.joins]
    return [
        row.fault.name,
        *_texts([chains.conversations, chains.turns, *map(len, of_turns), row.struck.of_turns]),
        *_texts([chains.pipelines, chains.stages, *map(len, of_stages), row.struck.of_stages, len(chains.told)]),
    ]


def _control_cells(row: ControlRow) -> list[str]:
    found = [len(each) for each in _findings(row)]
    chains = row.verdict.chains
    of_turns = len(chains.turns_lost) + len(chains.turns_doubled) + len(chains.turns_disordered)
    of_pipelines = len(chains.pipelines_lost) + len(chains.stages_doubled) + len(chains.joins)
    return [
        row.control.guard,
        *_texts([row.rounds, row.verdict.executions, *found, of_turns, of_pipelines]),
    ]


def _findings(row: FaultRow | ControlRow) -> Sequence[list[str]]:
    verdict = row.verdict
    return verdict.lost, verdict.doubled, verdict.charges, verdict.progress, verdict.rows


def _time_rows(measures: Measures) -> list[list[str]]:
    named = {
        f"SIGKILL of a worker to the next attempt (lease {HOLD_S:g} s)": measures.takeover_s,
        "the same, another worker killed in between": measures.crowded_takeover_s,
        "SIGTERM of a worker to its attempt handed back": measures.hand_back_s,
        "attempt handed back to the next attempt": measures.handover_s,
        f"SIGKILL of a streams process: longest wait for admission (session {SESSION_S:g} s)": measures.failover_s,
        "SIGKILL of a broker of three: longest time in which no execution ended": measures.standstill_s,
    }
    return [
        [name, str(len(values)), *map(_seconds, (median(values), _quantile(values, 0.95), max(values)))]
        for name, values in named.items()
        if values
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(value: float) -> str:
    return f"{value:.1f}"


def _texts(numbers: Sequence[int]) -> list[str]:
    return [f"{number:,}" for number in numbers]


def _quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))]
