"""`penstock dlq`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.live import one_line
from penstock.cli.output import AsJson, complete, local_time, print_fields, print_json, print_table
from penstock.models import DeadLetterEntry, Replay

BYTES_SHOWN = 512
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the dead letter, from `penstock dlq list`.")]


def register(app: typer.Typer) -> None:
    """Add the group `dlq`."""
    group = typer.Typer(help="Records that could not be used.", no_args_is_help=True)
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("replay")(replay)
    app.add_typer(group, name="dlq")


def list_letters(
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50, as_json: AsJson = False
) -> None:
    """List dead letters, newest first."""

    async def go() -> Sequence[DeadLetterEntry]:
        from penstock.client import Client

        async with Client() as client:
            return await client.dead_letters.list(limit)

    found = complete(go())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            letter.event_id,
            local_time(letter.occurred_at),
            letter.coordinates,
            letter.error_code,
            one_line(letter.error_message),
        )
        for letter in found
    ]
    print_table(("id", "when", "record", "error", "message"), rows)


def show(letter_id: Id, as_json: AsJson = False) -> None:
    """Show one dead letter: where it was, what it was, why it could not be used."""

    async def go() -> DeadLetterEntry:
        from penstock.client import Client

        async with Client() as client:
            return await client.dead_letters.get(letter_id)

    letter = complete(go())
    if as_json:
        print_json(letter)
        return
    kept = len(letter.value or b"")
    print_fields(
        [
            ("id", letter.event_id),
            ("tenant", letter.tenant_id),
            ("when", local_time(letter.occurred_at)),
            ("record", letter.coordinates),
            ("given up by", letter.stage),
            ("error", f"{letter.error_code}: {letter.error_message}"),
            ("key", repr(letter.key) if letter.key else ""),
            *((f"header {name}", repr(value)) for name, value in letter.headers.items()),
            ("bytes", f"{letter.value_size:,}" + ("" if letter.complete else f", of which {kept:,} were kept")),
            ("value", repr((letter.value or b"")[:BYTES_SHOWN]) + ("…" if kept > BYTES_SHOWN else "")),
        ]
    )


def replay(letter_id: Id, as_json: AsJson = False) -> None:
    """Write a dead letter to its topic once more, after its cause was mended."""

    async def go() -> Replay:
        from penstock.client import Client

        async with Client() as client:
            return await client.dead_letters.replay(letter_id)

    done = complete(go())
    if as_json:
        print_json(done)
    else:
        print(f"replayed to {done.topic}, partition {done.partition}, offset {done.offset}")
