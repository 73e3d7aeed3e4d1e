"""What failed is run once more, and named with its first failure: one busy moment costs nobody the whole suite.

Not what proves exactness: a lost record, a doubled charge or a violated invariant is a fact however seldom it
comes, and counts as it falls. And where more than a few need a second run, the suite fails: that is no busy
moment any more. Only `scripts/test` asks for it (`--reruns 1`); one test run by hand fails at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PROOFS = (
    "budget_race", "consumers", "contract", "exact_bill", "faults", "kit", "pipelines", "simulation", "streams"
)  # fmt: skip
"""Folders whose tests count at their first run; single ones elsewhere are marked with `counts_at_once`."""
AT_MOST = 3
counts_at_once = pytest.mark.flaky(reruns=0)


class SecondRuns:
    """The plugin; keeps the first failures of what is run again."""

    def __init__(self) -> None:
        self._first_failures: list[pytest.TestReport] = []

    @property
    def _too_many(self) -> bool:
        return len(self._first_failures) > AT_MOST

    @pytest.hookimpl(tryfirst=True)  # before the plugin that reads the marks
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in PROOFS:
                item.add_marker(counts_at_once)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]
            self._first_failures.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._too_many and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._first_failures:
            return
        terminalreporter.section("failed once, and were run again")
        for report in self._first_failures:
            terminalreporter.line(f"{report.nodeid} ({report.when})", bold=True)
            terminalreporter.line(report.longreprtext)
        if self._too_many:
            terminalreporter.line(
                f"{len(self._first_failures)} needed a second run, more than {AT_MOST}: that fails"
            )
