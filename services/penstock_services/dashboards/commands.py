"""`penstock report`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import OUT, complete
from penstock.errors import InvalidInput, MissingExtra
from penstock.reading import Reading
from penstock.settings import ClickHouseSettings
from penstock_services.dashboards.answers import Answers, ask
from penstock_services.dashboards.months import Month, month_of
from penstock_services.embedded.atomic_file import write_atomically

ANSWER_WITHIN_S = 300.0
"""One panel's answer: a closed month of many millions of lines, on a busy server."""


def register(app: typer.Typer) -> None:
    """Add `report`."""
    app.command("report")(report)


def report(
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="The month, UTC.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The HTML file to write.")],
    tenant: Annotated[str | None, typer.Option(help="Only what is this tenant's.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """A month's dashboards, as one HTML file for any browser.

    Asks ClickHouse alone. What only Prometheus knows is named, and not shown.
    """
    wanted = month_of(month, tenant)
    try:
        from penstock_services.dashboards.html import rendered
    except ModuleNotFoundError as exc:
        raise MissingExtra(
            f"charts need packages that are not installed ({exc}): pip install 'penstock[report]'"
        ) from exc
    _check(out, force=force)
    at = datetime.now(UTC)
    found = complete(_asked(wanted))
    try:
        write_atomically(out, rendered(found, at=at).encode())
    except OSError as exc:
        raise _unwritable(out, exc) from exc
    panels = sum(answer.rows is not None for _, answers in found.pages for answer in answers)
    what = "there is nothing of that month" if found.empty else f"{panels} panels on {len(found.pages)} pages"
    OUT.print(f"{out}: {wanted.name}, {what}", markup=False, soft_wrap=True)


async def _asked(month: Month) -> Answers:
    reading = Reading(ClickHouseSettings(), ANSWER_WITHIN_S)
    try:
        return await ask(reading, month)
    finally:
        await reading.close()


def _check(out: Path, *, force: bool) -> None:
    """Refuse at once what would only be refused after the queries.

    Raises:
        InvalidInput: the file is there, is no file, or has no folder to be in.
    """
    try:
        if out.exists() and not out.is_file():
            raise InvalidInput(f"--out {out}: is there and is no ordinary file; name another")
        if out.exists() and not force:
            raise InvalidInput(f"--out {out}: is there already; --force replaces it")
        if not out.absolute().parent.is_dir():
            raise InvalidInput(f"--out {out}: there is no folder {out.absolute().parent}; make it first")
    except OSError as exc:
        raise _unwritable(out, exc) from exc


def _unwritable(out: Path, cause: OSError) -> InvalidInput:
    return InvalidInput(f"--out {str(out)[:100]}: cannot be written ({cause.strerror}); name another file")
