"""Which outcomes of a foreign suite are not the expected ones."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """Test names, sorted."""

    passed: list[str]
    failed: list[str]
    skipped: list[str]
    unexpected_failures: list[str]
    unexpected_passes: list[str]

    @property
    def is_good(self) -> bool:
        return bool(self.passed) and not self.unexpected_failures and not self.unexpected_passes


def read_report(path: Path) -> dict[str, str]:
    """Outcome (`passed`, `failed`, `skipped`) by `classname::name` of a JUnit report."""
    outcomes: dict[str, str] = {}
    for case in ET.parse(path).iter("testcase"):
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        name = f"{case.get('classname')}::{case.get('name')}"
        if outcomes.get(name) != "failed":  # an error after the test comes as a second case
            outcomes[name] = outcome
    return outcomes


def read_known(text: str) -> dict[str, str]:
    """Reason by test name.

    Raises:
        ValueError: a line without a reason, or a name given twice.
    """
    known: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = (part.strip() for part in line.partition("  # "))
        if not reason or name in known:
            raise ValueError(f"line {number}: needs one test name, two blanks, # and a reason: {line!r}")
        known[name] = reason
    return known


def judge(outcomes: Mapping[str, str], known: Mapping[str, str]) -> Verdict:
    """Compare; known tests that did not run count for nothing."""

    def having(outcome: str) -> list[str]:
        return sorted(name for name, found in outcomes.items() if found == outcome)

    passed, failed = having("passed"), having("failed")
    return Verdict(
        passed=passed,
        failed=failed,
        skipped=having("skipped"),
        unexpected_failures=[name for name in failed if name not in known],
        unexpected_passes=[name for name in passed if name in known],
    )
