"""The command line of the embedded stack: `up`, `down`, `status`, `doctor`.

Each command imports what it needs when it runs: clients of three servers would cost every other command a second.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console

from penstock.settings import state_folder
from penstock_services.embedded.state import StateFolder

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KafkaPort = Annotated[int | None, typer.Option(min=1, max=65535, envvar="PENSTOCK_KAFKA_PORT")]
RegistryPort = Annotated[int | None, typer.Option(min=1, max=65535, envvar="PENSTOCK_REGISTRY_PORT")]
ClickHousePort = Annotated[int | None, typer.Option(min=1, max=65535, envvar="PENSTOCK_CLICKHOUSE_PORT")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`. They raise `PenstockError`; the root of the command line prints it."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(doctor)


def up(
    kafka_port: KafkaPort = None,
    registry_port: RegistryPort = None,
    clickhouse_port: ClickHousePort = None,
    ports: Annotated[
        str | None, typer.Option(metavar="auto", help="`auto` takes free ports instead of the defaults.")
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, envvar="PENSTOCK_PARTITIONS", help="Of every topic, in a new folder. Default 4."),
    ] = None,
    brokers: Annotated[
        int | None,
        typer.Option(
            metavar="[1|3]",
            envvar="PENSTOCK_BROKERS",
            help="Kafka brokers, in a new folder. 3 replicate as in production, for about 0.5 GB more. Default 1.",
        ),
    ] = None,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Only Kafka, the registry and ClickHouse, set up and empty.")
    ] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop everything on Ctrl-C.")] = False,
) -> None:
    """Start the whole system here, from Kafka to the worker."""
    from penstock.errors import InvalidInput
    from penstock_services.embedded.stack import why_no_commands
    from penstock_services.embedded.up import UpOptions, prepare, run_detached, run_in_foreground
    from penstock_services.embedded.views import start_progress

    if ports not in (None, "auto"):
        raise InvalidInput(f"--ports {ports!r}: the only value is `auto`; single ports have options of their own")
    folder, console = _folder(), Console(stderr=True)
    asked = {"kafka": kafka_port, "registry": registry_port, "clickhouse": clickhouse_port}
    options = UpOptions(
        ports={name: port for name, port in asked.items() if port is not None},
        auto_ports=ports == "auto",
        partitions=partitions,
        brokers=brokers,
        servers_only=servers_only,
    )
    with start_progress(console) as progress:
        lock = prepare(folder, options, progress.fetching)
        if foreground:
            run_in_foreground(folder, lock, options, progress.report)
            return
        run_detached(folder, lock, options, progress.report)
    console.print(f"up; addresses are in {folder.stack_env}. Next: penstock status, penstock run --help")
    if not servers_only and (reason := why_no_commands()):
        console.print(f"Agents run no commands here: {reason}.")


def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also delete all data of this folder.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
) -> None:
    """Stop everything, also what a killed `up` left behind.

    Doing it again does nothing.
    """
    from penstock_services.embedded import down as stopping

    folder, console = _folder(), Console(stderr=True)
    if purge and not yes:
        typer.confirm(f"Delete {folder.path} with every topic, table and artifact in it?", abort=True)
    stopped = stopping.stop(folder)
    left_over = f" ({len(stopped.left_over)} left-over processes killed)" if stopped.left_over else ""
    console.print(f"stopped{left_over}" if stopped.was_running or left_over else "nothing was running")
    if purge:
        stopping.purge(folder)
        console.print(f"deleted {folder.path}")


def status(as_json: AsJson = False) -> None:
    """What runs, where, how big, how far behind.

    Exit code 1 unless all of it is healthy.
    """
    from penstock_services.embedded.status import stack_status
    from penstock_services.embedded.views import show_status

    found = asyncio.run(stack_status(_folder()))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        show_status(Console(), found)
    if not found.healthy:
        raise typer.Exit(1)


def doctor(as_json: AsJson = False) -> None:
    """What this machine lacks for the stack, and what to do.

    Exit code 1 on a problem.
    """
    from penstock_services.embedded.doctor import examine
    from penstock_services.embedded.views import show_findings

    findings = asyncio.run(examine(_folder()))
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=2))
    else:
        show_findings(Console(), findings)
    if any(finding.result == "problem" for finding in findings):
        raise typer.Exit(1)


def _folder() -> StateFolder:
    return StateFolder(state_folder().absolute())
