"""An unexpected failure and an unexpected pass both fail the run of the client's suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clickhouse_connect.verdict import judge, read_known, read_report

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure/></testcase>
<testcase classname="a" name="left"><skipped/></testcase>
<testcase classname="a" name="torn"/>
<testcase classname="a" name="torn"><error/></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("known", "failures", "passes"),
    [
        ("a::bad  # why\na::torn  # why\n", [], []),
        ("a::bad  # why\n", ["a::torn"], []),
        ("# note\n\na::bad  # why\na::torn  # why\na::good  # why\n", [], ["a::good"]),
        ("a::bad  # why\na::torn  # why\na::other  # did not run\n", [], []),
    ],
)
def test_what_is_unexpected_is_named(tmp_path: Path, known: str, failures: list[str], passes: list[str]) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    verdict = judge(read_report(tmp_path / "report.xml"), read_known(known))
    assert (verdict.unexpected_failures, verdict.unexpected_passes) == (failures, passes)
    assert verdict.is_good is (not failures and not passes)
    assert (len(verdict.passed), len(verdict.failed), len(verdict.skipped)) == (1, 2, 1)


def test_a_run_of_no_test_is_not_good() -> None:
    assert not judge({}, {}).is_good


@pytest.mark.parametrize("line", ["a::bad", "a::bad #", "a::x  # why\na::x  # why"])
def test_every_known_failure_has_its_reason(line: str) -> None:
    with pytest.raises(ValueError, match="reason"):
        read_known(line)


def test_the_list_in_this_folder_can_be_read() -> None:
    read_known((Path(__file__).parent / "known_failures.txt").read_text())
