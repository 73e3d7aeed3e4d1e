"""The table of docs/sandbox-corpus.md, from the cases themselves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.isolation.case import AREAS, EVERY_TIER, Case
from tests.isolation.cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "sandbox-corpus.md"
HEAD = """\
# The escape corpus

Programs that try to get out of the sandbox, to harm the host or to reach another tenant; `tests/isolation` runs
each of them twice. With all guards it must get nothing, and must have come to its end, so that a program that
never started proves nothing. With the guards of its row taken away, and nothing else, it must succeed: a case
that could not fail is no case. What an attack got is looked at from outside wherever it can be: a file that
changed, a server that was reached, a process that still runs, bytes on the disk. Where a row names several
guards, more than one of them holds the attack, and the control takes all of them away.

A control runs in namespaces of its own wherever the guard under test is not that namespace, on files, processes,
terminals and networks that the test made; none changes a name, a clock or a setting of the host. Where a kernel
lacks what a control needs, the control is skipped and says why; the attack itself still runs.

    .venv/bin/python -m pytest tests/isolation          # every case and control
    .venv/bin/python -m tests.isolation --rounds 10     # counts: escapes, and what was left on the host

This page is written by `.venv/bin/python -m tests.isolation --write-docs`, and a test holds it to the cases.
"""


def page() -> str:
    """The page as it should be."""
    counts = Counter(case.area for case in CASES)
    total = f"{len(CASES)} cases, {sum(len(case.tiers) for case in CASES)} with those that run for every tier.\n"
    parts = [HEAD, total]
    for area in AREAS:
        rows = [_row(case) for case in CASES if case.area == area]
        parts.append(f"## {area.capitalize()} ({counts[area]})\n")
        parts.append("| the attack | what holds it (and the control takes away) | tiers |\n|---|---|---|")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(case: Case) -> str:
    guards = " + ".join(case.guards)
    if case.weakened:
        guards += f" (with the {' and the '.join(case.weakened)} already away)"
    tiers = "all" if case.tiers == EVERY_TIER else ", ".join(case.tiers)
    return f"| {case.name} | {guards} | {tiers} |"
