"""`penstock bill`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from penstock.cli.output import OUT, AsJson, complete, print_json, print_table, printable
from penstock.cli.spreadsheet import print_csv
from penstock.errors import InvalidInput
from penstock.money import usd_text
from penstock.statements import Bill, Spend, SpendSummary

DEAREST_SHOWN = 20
"""Pipelines and conversations on the screen; a spreadsheet gets all."""


def register(app: typer.Typer) -> None:
    """Add `bill`."""
    app.command("bill")(bill)


def bill(
    tenant: Annotated[str, typer.Argument(help="Whose bill.")],
    month: Annotated[str | None, typer.Option(help="YYYY-MM, UTC; default: the current one.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="Instead of a month: calls made from here on; ISO, UTC."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="And before this.")] = None,
    user: Annotated[str | None, typer.Option(help="Only what is this user's.")] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one table for spreadsheets.")] = False,
) -> None:
    """Show what a tenant owes for a month, or spent in a time.

    By model, user, agent, pipeline and conversation.

    USD to six decimals, and the 20 dearest pipelines and conversations; with --json and --csv in exact nano-USD
    too, and all of them.
    """
    if as_json and as_csv:
        raise InvalidInput("--json and --csv: give one of them")
    if month is not None and (start is not None or end is not None):
        raise InvalidInput("--month and --from/--to: a bill is of a month, a summary of a time; give one of them")
    if (start is None) != (end is None):
        raise InvalidInput("--from and --to: give both")
    dearest = None if as_json or as_csv else DEAREST_SHOWN
    between = None if start is None or end is None else (_moment("--from", start), _moment("--to", end))

    async def go() -> Bill | SpendSummary:
        from penstock.client import Client

        async with Client() as client:
            if between is None:
                return await client.bill(tenant, month, user=user, dearest=dearest)
            return await client.spend(tenant, *between, user=user, dearest=dearest)

    found = complete(go())
    if as_json:
        print_json(found)
    elif as_csv:
        print_csv(found)
    else:
        _print(found)


def _moment(option: str, text: str) -> datetime:
    """An ISO date or time; UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{option} {text[:40]!r}: must be an ISO date or time, such as 2026-11-01 or 2026-11-01T12:30:00"
        ) from None


def _print(found: Bill | SpendSummary) -> None:
    OUT.print(printable(_title(found)), style="italic", markup=False, soft_wrap=True)
    for name, lines in found.by.items():
        more = found.more.get(name)
        if more is not None and not lines:
            continue
        sums = [(line.name or "-", *_cells(line)) for line in lines]
        if more is None:
            sums.append(("total", *_cells(found.total)))
        OUT.print()
        print_table((name, ">calls", ">input tokens", ">cached", ">output tokens", ">USD"), sums)
        if more:
            OUT.print(f"and {more:,} more {name}s that cost less; --json and --csv have all", soft_wrap=True)
    if found.adjustments:
        adjusted = (
            (month.month, f"{month.late_calls:,}", f"{month.corrections:,}", usd_text(month.cost_nanousd))
            for month in found.adjustments
        )
        title = "Of this, for calls that came late or were corrected:"
        OUT.print()
        print_table(("calls of", ">late calls", ">corrections", ">USD"), adjusted, title=title)
    for note in _notes(found):
        OUT.print(f"\n{note}", markup=False, soft_wrap=True)


def _title(found: Bill | SpendSummary) -> str:
    whose = found.tenant_id if found.user_id is None else f"{found.user_id} of {found.tenant_id}"
    match found:
        case SpendSummary():
            between = f"from {found.start:%Y-%m-%d %H:%M:%S} to before {found.end:%Y-%m-%d %H:%M:%S} (UTC)"
            return f"Spending of {whose} by calls made {between}: a summary by time, not a bill"
        case Bill(closed_at=None):
            return f"Bill of {whose} for {found.period} (UTC), open: it may still change"
    return f"Bill of {whose} for {found.period} (UTC), closed on {found.closed_at:%Y-%m-%d}"


def _cells(spend: Spend) -> tuple[str, ...]:
    cached = spend.cache_read_tokens + spend.cache_write_tokens
    numbers = (spend.calls, spend.input_tokens, cached, spend.output_tokens)
    return (*(f"{number:,}" for number in numbers), spend.cost_usd)


def _notes(found: Bill | SpendSummary) -> list[str]:
    wasted, unresolved, notes = found.wasted, found.unresolved, []
    if wasted.tokens or wasted.cost_nanousd:
        amount = f"{usd_text(wasted.cost_nanousd)} USD ({wasted.tokens:,} tokens)"
        notes.append(f"Of this, {amount} went into attempts whose result was not accepted.")
    if found.quarantined:
        reasons = ", ".join(f"{entry.reason} {entry.calls:,}" for entry in found.quarantined)
        notes.append(f"{found.quarantined_calls:,} more calls are on no bill yet: {reasons}.")
    if unresolved.calls:
        kept = f"{unresolved.reserved_tokens:,} tokens and {usd_text(unresolved.reserved_nanousd)} USD"
        notes.append(
            f"{unresolved.calls:,} calls were never reported (see: penstock usage unresolved); "
            f"{kept} stay reserved for them."
        )
    return notes
