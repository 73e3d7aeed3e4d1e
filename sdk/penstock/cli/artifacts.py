"""`penstock artifacts`: the files a run kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import ERRORS, AsJson, complete, print_json, print_table
from penstock.errors import InvalidInput
from penstock.kept import Artifact
from penstock.saving import check_targets, save


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("artifacts")(artifacts)


def artifacts(
    execution_id: Annotated[str, typer.Argument(help="Id of the execution; a stage of a pipeline is one.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FOLDER", help="Save them below this folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the files that a run kept, or save them.

    Only those of the attempt whose result was accepted. Nothing is written outside FOLDER or through a link in it,
    and where one of the files is there already, none is.
    """
    if force and to is None:
        raise InvalidInput("--force is for --to: nothing is written without it")

    async def go() -> Sequence[Artifact]:
        from penstock.client import Client

        async with Client() as client:
            found = await client.artifacts(execution_id)
            if to is not None:
                check_targets(to, [file.path for file in found], overwrite=force)
                for file in found:
                    save(to, file.path, await client.read_artifact(execution_id, file), overwrite=force)
            return found

    found = complete(go())
    if as_json:
        print_json(found)
        return
    print_table(("path", ">bytes", "sha256"), [(file.path, f"{file.size_bytes:,}", file.sha256) for file in found])
    if to is not None:
        ERRORS.print(f"saved below {to}: {len(found)}", markup=False)
