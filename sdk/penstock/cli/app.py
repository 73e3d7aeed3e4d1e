"""The root of the command line: what commands there are, and how errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape
from typer.models import CommandInfo

from penstock.cli import artifacts, bill, budget, chat, dlq, pipeline, runs, schemas, store, tenants, usage, users
from penstock.cli.extensions import add_extensions
from penstock.cli.output import ERRORS, printable
from penstock.errors import MissingExtra, PenstockError

OWN_PACKAGES = ("penstock", "penstock_schemas", "penstock_services", "penstock_streams", "penstock_consumers")
PANEL_OF = {
    name: panel
    for panel, names in {
        "Stack": ("up", "down", "status", "doctor"),
        "Runs": ("run", "watch", "get", "artifacts", "cancel", "list"),
        "Conversations": ("chat", "pipeline"),
        "Money": ("bill", "budget", "usage", "prices", "close", "audit", "report"),
        "Operate": ("tenants", "users", "store", "dlq", "schemas", "topics", "acl", "verify", "clickhouse"),
        "Processes": ("streams", "loader", "worker"),
    }.items()
    for name in names
}
"""Where `--help` lists each command, in this order."""
EPILOG = (
    "Exit codes: 0 done, 1 the run or check failed, 2 usage, 3 rejected, 4 a server is not reachable, "
    "5 no longer verifiable. Servers are found by PENSTOCK_* variables or a running `penstock up`."
)


def main() -> None:
    """Run the command line and exit."""
    app = build(sys.argv[1:])
    try:
        typer.main.get_command(app)(prog_name="penstock")
    except PenstockError as exc:
        _fail(exc)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] in OWN_PACKAGES:
            raise  # a bug of ours, not a missing extra
        _fail(MissingExtra(f"this command needs the package {exc.name!r}: pip install 'penstock[all]'"))
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def build(arguments: list[str]) -> typer.Typer:
    """The whole command line; extensions are loaded as far as `arguments` need them."""
    app = typer.Typer(
        help="Run AI agents as an event stream: for many tenants, watched live, billed exactly.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,  # two options that would be the longest part of --help
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for group in (runs, artifacts, chat, pipeline, bill, budget, usage, tenants, users, store, dlq, schemas):
        group.register(app)
    add_extensions(app, arguments)
    for command in app.registered_commands:
        command.rich_help_panel = PANEL_OF.get(_name(command), "More")
    for added in app.registered_groups:
        added.rich_help_panel = PANEL_OF.get(added.name or "", "More")
    order = list(PANEL_OF)
    app.registered_commands.sort(key=lambda c: order.index(_name(c)) if _name(c) in order else len(order))
    return app


def _name(command: CommandInfo) -> str:
    return command.name or (command.callback.__name__ if command.callback else "")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"penstock {version('penstock')}")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


def _fail(exc: PenstockError) -> None:
    said = escape(printable(str(exc)))  # it may quote what an agent or its command said
    ERRORS.print(f"[red]penstock:[/] {said}", soft_wrap=True, highlight=False)
    raise SystemExit(exc.exit_code)
