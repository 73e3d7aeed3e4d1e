"""A bill on the screen and in a spreadsheet."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest

from penstock.cli import bill as command
from penstock.cli.spreadsheet import COLUMNS, print_csv
from penstock.statements import AdjustedMonth, Bill, BillLine, Quarantined, Spend, SpendSummary, Unresolved, Wasted

SECTIONS: dict[str, Any] = {
    "tenant_id": "acme",
    "user_id": None,
    "total": Spend(calls=2, input_tokens=1_500, output_tokens=20, cost_nanousd=1_234_567_890),
    "by": {
        "model": (
            BillLine(name="gpt-4", calls=2, input_tokens=1_500, output_tokens=20, cost_nanousd=1_234_567_890),
        ),
        "user": (
            BillLine(name="=cmd()", calls=2, cost_nanousd=1_234_568_890),
            BillLine(name=None, cost_nanousd=-1_000),
        ),
        "pipeline": (BillLine(name="p-1", calls=1, cost_nanousd=5_000),),
        "conversation": (),
    },
    "more": {"pipeline": 1_234, "conversation": 0},
    "wasted": Wasted(tokens=7, cost_nanousd=7_000),
    "adjustments": (AdjustedMonth(month="2026-10", late_calls=1, corrections=2, cost_nanousd=-5_000),),
    "quarantined": (Quarantined(reason="too_old", calls=1), Quarantined(reason="unknown_model", calls=2)),
    "unresolved": Unresolved(calls=1, reserved_tokens=9_000, reserved_nanousd=4_000),
}
OPEN = Bill(**SECTIONS, period="2026-11", closed_at=None)
CLOSED = Bill(**SECTIONS, period="2026-11", closed_at=datetime(2026, 12, 3, tzinfo=UTC))
SUMMARY = SpendSummary(**SECTIONS, start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 11, 8, tzinfo=UTC))


def shown(found: Bill | SpendSummary, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The words of each line."""
    command._print(found)
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def rows(found: Bill | SpendSummary) -> list[dict[str, str]]:
    file = StringIO(newline="")
    print_csv(found, file)
    return list(csv.DictReader(StringIO(file.getvalue(), newline="")))


def test_each_breakdown_is_a_table_with_the_total(capsys: pytest.CaptureFixture[str]):
    lines = shown(OPEN, capsys)
    total = ["total", "2", "1,500", "0", "20", "1.234568"]
    assert lines.count(total) == 2
    assert ["gpt-4", *total[1:]] in lines
    assert ["-", "0", "0", "0", "0", "-0.000001"] in lines


def test_the_dearest_pipelines_are_a_table_without_the_total_that_says_how_many_more_there_are(
    capsys: pytest.CaptureFixture[str],
):
    lines = shown(OPEN, capsys)
    at = next(number for number, line in enumerate(lines) if line[:1] == ["pipeline"])
    assert lines[at + 1] == ["p-1", "1", "0", "0", "0", "0.000005"]
    assert " ".join(lines[at + 2]) == "and 1,234 more pipelines that cost less; --json and --csv have all"
    assert not [line for line in lines if line[:1] == ["conversation"]]


def test_what_is_part_of_the_bill_and_what_is_not_on_it_is_said(capsys: pytest.CaptureFixture[str]):
    command._print(OPEN)
    out = capsys.readouterr().out
    assert "Of this, 0.000007 USD (7 tokens) went into attempts whose result was not accepted." in out
    assert ["2026-10", "1", "2", "-0.000005"] in [line.split() for line in out.splitlines()]
    assert "3 more calls are on no bill yet: too_old 1, unknown_model 2." in out
    assert "9,000 tokens and 0.000004 USD stay reserved for them." in out


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (OPEN, "Bill of acme for 2026-11 (UTC), open"),
        (CLOSED, "Bill of acme for 2026-11 (UTC), closed on 2026-12-03"),
        (SUMMARY, "a summary by time, not a bill"),
        (OPEN.model_copy(update={"user_id": "ann"}), "Bill of ann of acme"),
    ],
)
def test_the_title_says_what_it_is(found: Bill, said: str, capsys: pytest.CaptureFixture[str]):
    command._print(found)
    assert said in capsys.readouterr().out


def test_a_spreadsheet_gets_one_row_per_value_in_exact_and_in_shown_money():
    found = rows(CLOSED)
    assert tuple(found[0]) == COLUMNS
    assert [(row["by"], row["value"], row["cost_nanousd"], row["cost_usd"]) for row in found] == [
        ("total", "", "1234567890", "1.234568"),
        ("model", "gpt-4", "1234567890", "1.234568"),
        ("user", "'=cmd()", "1234568890", "1.234569"),
        ("user", "", "-1000", "-0.000001"),
        ("pipeline", "p-1", "5000", "0.000005"),
        ("wasted", "", "7000", "0.000007"),
        ("adjusted_month", "2026-10", "-5000", "-0.000005"),
        ("quarantined", "too_old", "", ""),
        ("quarantined", "unknown_model", "", ""),
        ("unresolved", "", "", ""),
    ]
    assert {row["status"] for row in found} == {"closed"}
    assert (found[-1]["calls"], found[-1]["reserved_tokens"], found[-1]["reserved_nanousd"]) == (
        "1",
        "9000",
        "4000",
    )
    assert {(row["period"], row["status"]) for row in rows(SUMMARY)} == {
        ("2026-11-01T00:00:00Z/2026-11-08T00:00:00Z", "summary")
    }


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_no_name_becomes_a_formula(name: str):
    by = {"model": (BillLine(name=name, cost_nanousd=1),)}
    (line,) = [row for row in rows(OPEN.model_copy(update={"by": by, "user_id": name})) if row["by"] == "model"]
    assert (line["value"], line["user_id"]) == (f"'{name}", f"'{name}")


@pytest.mark.parametrize("name", ["gpt-4", "a,b", 'say "x"', "two\nlines", "'=1", " =1", "Ä"])
def test_every_other_name_stays_as_it_is(name: str):
    by = {"model": (BillLine(name=name, cost_nanousd=1),)}
    (line,) = [row for row in rows(OPEN.model_copy(update={"by": by})) if row["by"] == "model"]
    assert line["value"] == name
