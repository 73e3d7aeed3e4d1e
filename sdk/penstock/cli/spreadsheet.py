"""A statement as one flat table of comma-separated values, for spreadsheets."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from penstock.money import usd_text
from penstock.statements import Bill, Spend, SpendSummary

COLUMNS = (
    "tenant_id",
    "user_id",
    "period",
    "status",
    "by",
    "value",
    "calls",
    "corrections",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "cost_nanousd",
    "cost_usd",
    "reserved_tokens",
    "reserved_nanousd",
)
FOREIGN = ("tenant_id", "user_id", "value")
"""Columns whose text is not ours."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How text begins that a spreadsheet may compute; the last four are the wide forms of the first."""


def print_csv(statement: Bill | SpendSummary, file: TextIO | None = None) -> None:
    """Write `statement` to `file`, or standard output: a header, then a row per value of what `by` names.

    `by` is `total`, `model`, `user`, `agent`, `pipeline`, `conversation`, `wasted`, `adjusted_month`,
    `quarantined` (by reason) or `unresolved`. Only the rows of one `by` add up. Cells that do not apply are empty.
    """
    about = {"tenant_id": statement.tenant_id, "user_id": statement.user_id} | _time_of(statement)
    # Lines end in CR LF, as RFC 4180 has it: only then does this module quote a lone CR too.
    writer = csv.DictWriter(file or sys.stdout, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in _rows(statement):
        if "cost_nanousd" in row:
            row["cost_usd"] = usd_text(row["cost_nanousd"])
        cells = about | row
        writer.writerow(cells | {name: not_computed(cells.get(name)) for name in FOREIGN})


def not_computed(text: str | None) -> str:
    """`text`, after an apostrophe where a spreadsheet would compute it."""
    return f"'{text}" if text and text.startswith(FORMULA) else text or ""


def _time_of(statement: Bill | SpendSummary) -> dict[str, str]:
    if isinstance(statement, SpendSummary):
        between = (moment.isoformat().replace("+00:00", "Z") for moment in (statement.start, statement.end))
        return {"period": "/".join(between), "status": "summary"}
    return {"period": statement.period, "status": "open" if statement.closed_at is None else "closed"}


def _rows(statement: Bill | SpendSummary) -> Iterator[dict[str, Any]]:
    yield {"by": "total"} | _sums(statement.total)
    for name, lines in statement.by.items():
        for line in lines:
            yield {"by": name, "value": line.name} | _sums(line)
    yield {"by": "wasted", "cost_nanousd": statement.wasted.cost_nanousd}
    for month in statement.adjustments:
        yield {
            "by": "adjusted_month",
            "value": month.month,
            "calls": month.late_calls,
            "corrections": month.corrections,
            "cost_nanousd": month.cost_nanousd,
        }
    for entry in statement.quarantined:
        yield {"by": "quarantined", "value": entry.reason, "calls": entry.calls}
    yield {"by": "unresolved"} | statement.unresolved.model_dump()


def _sums(spend: Spend) -> dict[str, Any]:
    return spend.model_dump(exclude={"name"})
