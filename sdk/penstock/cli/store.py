"""`penstock store`: what the artifact store keeps, and removing what is old."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.artifacts import ArtifactStore, StoredMonth, months_before, needed, store_of
from penstock.cli.output import ERRORS, AsJson, complete, print_json, print_table
from penstock.settings import ArtifactSettings


def register(app: typer.Typer) -> None:
    """Add the group `store`."""
    group = typer.Typer(help="What the artifact store keeps, and for how long.", no_args_is_help=True)
    group.command("months")(months)
    group.command("prune")(prune)
    app.add_typer(group, name="store")


def months(as_json: AsJson = False) -> None:
    """List what was put in each month (UTC), conversations aside: those keep theirs until they are deleted."""
    _show(complete(_store().months()), as_json)


def prune(
    keep_months: Annotated[
        int, typer.Option("--keep-months", min=1, max=1200, help="Whole months before the current one that stay.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the inputs, outputs and files of older months, oldest month first; records that name them stay.

    Nothing that was put since is touched, even where it is the same. Whoever asks for one of them is told that it
    was removed. Stopped halfway, it has removed some; run it again.
    """
    store, oldest = _store(), months_before(keep_months)

    async def go() -> list[StoredMonth]:
        old = [month for month in await store.months() if month.month < oldest]
        for month in old if not dry_run else ():
            await store.remove(month.month)
        return old

    old = complete(go())
    _show(old, as_json)
    if not as_json:
        done = "would be removed" if dry_run else "removed"
        ERRORS.print(f"{done}: {len(old)} months before {oldest}", markup=False)


def _store() -> ArtifactStore:
    return needed(store_of(ArtifactSettings()))


def _show(found: list[StoredMonth], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_table(
            ("month", ">blobs", ">bytes"),
            [(each.month, f"{each.blobs:,}", f"{each.size_bytes:,}") for each in found],
        )
