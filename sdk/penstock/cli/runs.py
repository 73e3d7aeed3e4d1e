"""`penstock run`, `watch`, `get` and `list`."""

from __future__ import annotations

import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.live import LiveView, one_line
from penstock.cli.output import (
    ERRORS,
    OUT,
    AsJson,
    as_dict,
    complete,
    local_time,
    print_fields,
    print_json,
    print_table,
    print_text,
)
from penstock.errors import ExecutionFailedError, InvalidInput, RequestRejected

PANEL = "Runs"
MAX_READ_BYTES = 64 * 1024 * 1024
"""No input is larger than the artifact store takes; a device file would never end."""


def register(app: typer.Typer) -> None:
    """Add the commands about executions."""
    app.command("run", rich_help_panel=PANEL)(run)
    app.command("watch", rich_help_panel=PANEL)(watch)
    app.command("get", rich_help_panel=PANEL)(get)
    app.command("list", rich_help_panel=PANEL)(list_executions)


def run(
    agent: Annotated[str, typer.Argument(help="Name of the agent: echo, assistant, …")],
    input: Annotated[str, typer.Option("--input", "-i", help="The text, @FILE, or - for standard input.")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Who pays.")] = "default",
    user: Annotated[str | None, typer.Option(help="The tenant's user.")] = None,
    model: Annotated[str | None, typer.Option(help="Ask the agent for this model.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Ceiling of output tokens.")] = None,
    timeout_s: Annotated[int | None, typer.Option("--timeout", help="Run deadline in seconds.")] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Your own id: the same request sent twice runs once.")
    ] = None,
    queue: Annotated[str, typer.Option(help="Which workers.")] = "agents-default",
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f", help="Show progress, then print the output.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask for one execution and print its id; with --follow, its progress and its output.

    Progress goes to standard error and the output to standard output, so it can be piped.
    """
    text = _input(input)

    async def go() -> None:
        from penstock.client import Client

        async with Client() as client:
            submission = await client.submit(
                agent,
                text,
                tenant=tenant,
                request_id=request_id,
                user=user,
                model=model,
                max_tokens=max_tokens,
                timeout_s=timeout_s,
                queue=queue,
            )
            if follow:
                await _follow(client, submission.execution_id, on_errors=True, as_json=as_json)
            elif as_json:
                print_json(submission)
            else:
                print(submission.execution_id)

    complete(go())


def watch(
    execution_id: Annotated[str, typer.Argument(help="Id of the execution.")],
    from_seq: Annotated[int, typer.Option("--from", min=1, help="First progress record to show.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Show an execution from its first record to its end, live once it has caught up.

    With --json: one object per record, on a line of its own.
    """

    async def go() -> None:
        from penstock.client import Client

        async with Client() as client:
            await _follow(client, execution_id, on_errors=False, as_json=as_json, from_seq=from_seq)

    complete(go())


def get(execution_id: Annotated[str, typer.Argument(help="Id of the execution.")], as_json: AsJson = False) -> None:
    """Show the state of one execution as of now."""

    async def go() -> Any:
        from penstock.client import Client

        async with Client() as client:
            return await client.get(execution_id)

    found = complete(go())
    if as_json:
        print_json(found)
        return
    cost = f"{found.cost_usd} USD" if found.cost_nanousd else ""
    names = ("execution_id", "tenant_id", "request_id", "user_id", "agent_type", "model", "status", "reason")
    times = ("requested_at", "started_at", "finished_at")
    print_fields(
        [
            *((name, getattr(found, name) or "") for name in names),
            ("attempts", str(found.attempts)),
            *((name, local_time(getattr(found, name))) for name in times),
            ("cost", cost),
            ("error", f"{found.error_type or ''}: {found.error_message}" if found.error_message else ""),
            ("output", found.output or (found.output_ref.uri if found.output_ref else "")),
        ]
    )


def list_executions(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant's.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="Only queued, admitted, running, completed, failed, timed_out or rejected ones."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most this many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List executions, newest first."""

    async def go() -> Any:
        from penstock.client import Client

        async with Client() as client:
            return await client.list(tenant, status, limit)

    found = complete(go())
    if as_json:
        print_json(found)
        return
    rows = [
        (e.execution_id, e.tenant_id, e.agent_type, e.status, local_time(e.requested_at), one_line(e.output or ""))
        for e in found
    ]
    print_table(("execution", "tenant", "agent", "status", "requested", "output"), rows)
