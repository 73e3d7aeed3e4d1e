"""Commands of packages that the thin SDK must not import, found by the entry-point group `penstock.commands`.

An entry point's name lists the commands its target adds, separated by dots (`up.down.status`), so that a command
line loads only what it asks for, and a command whose packages are missing can say so.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from penstock.errors import MissingExtra

GROUP = "penstock.commands"


def add_extensions(app: typer.Typer, arguments: list[str]) -> None:
    """Register the extensions that `arguments` need with `app`: one, or all where all may be listed."""
    known = list(entry_points(group=GROUP))
    asked = next((word for word in arguments if not word.startswith("-")), None)
    own = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    if asked in own or "--version" in arguments:
        return
    for extension in [e for e in known if asked in _commands_of(e)] or known:
        _add(app, extension)


def _add(app: typer.Typer, extension: EntryPoint) -> None:
    try:
        register = extension.load()
    except ImportError as exc:
        for name in _commands_of(extension):
            app.command(
                name,
                help="Not installed: pip install 'penstock[all]'.",
                context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
            )(_missing(name, str(exc)))
        return
    register(app)


def _missing(command: str, reason: str) -> Any:
    def refuse() -> None:
        raise MissingExtra(
            f"`penstock {command}` needs packages that are not installed ({reason}): pip install 'penstock[all]'"
        )

    return refuse


def _commands_of(extension: EntryPoint) -> list[str]:
    return extension.name.split(".")
