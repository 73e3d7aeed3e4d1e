"""`penstock run`, `watch`, `get`, `cancel` and `list`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.input import input_text
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
from penstock.errors import InvalidInput
from penstock.models import Cursor, Execution, Lease, ProgressGap
from penstock.outcome import state_of
from penstock_schemas import records as r

if TYPE_CHECKING:
    from penstock.client import Client
    from penstock.followed import Item
    from penstock.view import Follow


def register(app: typer.Typer) -> None:
    """Add the commands about executions."""
    app.command("run")(run)
    app.command("watch")(watch)
    app.command("get")(get)
    app.command("cancel")(cancel)
    app.command("list")(list_executions)


def run(
    agent: Annotated[str, typer.Argument(help="Name of the agent: echo, assistant, …")],
    input: Annotated[str, typer.Option("--input", "-i", help="The text, @FILE, or - for standard input.")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Who pays.")] = "default",
    user: Annotated[str | None, typer.Option(help="The tenant's user.")] = None,
    model: Annotated[str | None, typer.Option(help="Ask the agent for this model.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Ceiling of output tokens.")] = None,
    reserve_tokens: Annotated[
        int | None, typer.Option(help="Tokens all its calls may use; default: enough for one call.")
    ] = None,
    timeout_s: Annotated[int | None, typer.Option("--timeout", help="Run deadline in seconds.")] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Attempts in all, from 1 to 10.")] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Your own id: the same request sent twice runs once.")
    ] = None,
    queue: Annotated[str, typer.Option(help="Which workers.")] = "agents-default",
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f", help="Show progress, then print the output.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask for one execution and print its id, or follow it.

    With --follow its progress and its output are printed.

    Progress goes to standard error and the output to standard output, so it can be piped.
    """
    text = input_text(input)

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
                reserve_tokens=reserve_tokens,
                timeout_s=timeout_s,
                max_attempts=max_attempts,
                queue=queue,
            )
            if not follow:
                print_json(submission) if as_json else print(submission.execution_id)
                return
            with LiveView(ERRORS) as view:
                view.begin(submission.execution_id)
                records = client.follow(submission.execution_id)
                lifecycle, settled = await _shown(client, records, view.show)
            if as_json:  # without the cost, which is charged after the end
                print_json(as_dict(state_of(lifecycle, cost_nanousd=0), exclude={"cost_nanousd"}))
            output = await client.output_of(settled)  # or the error that says why there is none
            if not as_json:
                print_text(output)

    complete(go())


def watch(
    execution_id: Annotated[str, typer.Argument(help="Id of the execution.")],
    first: Annotated[
        str,
        typer.Option(
            "--from", metavar="[EPOCH:]SEQ", help="First progress record to show; of attempt 1 by itself."
        ),
    ] = "1",
    as_json: AsJson = False,
) -> None:
    """Show an execution from its first record to its end.

    Live, once it has caught up.

    Progress that can no longer be read is shown as a gap.
    With --json: one object per record, on a line of its own.
    """
    cursor = _before(first)

    async def go() -> None:
        from penstock.client import Client

        async with Client() as client:
            with LiveView(ERRORS if as_json else OUT) as view:

                def show(record: Item) -> None:
                    print_json(_tagged(record)) if as_json else view.show(record)

                _, settled = await _shown(client, client.follow(execution_id, from_cursor=cursor), show)
            output = await client.output_of(settled)
            if not as_json:
                print_text(output)

    complete(go())


def get(
    execution_id: Annotated[str, typer.Argument(help="Id of the execution.")], as_json: AsJson = False
) -> None:
    """Show an execution as of now, and who holds it."""

    async def go() -> tuple[Execution, Lease | None]:
        from penstock.client import Client

        async with Client() as client:
            found = await client.get(execution_id)
            return found, await client.lease(execution_id) if found.status == "running" else None

    found, lease = complete(go())
    if as_json:
        print_json(as_dict(found) | {"lease": as_dict(lease) if lease else None})
        return
    cost = f"{found.cost_usd} USD" if found.cost_nanousd else ""
    names = ("execution_id", "tenant_id", "request_id", "user_id", "agent_type", "model", "status", "reason")
    times = ("requested_at", "started_at", "finished_at")
    print_fields(
        [
            *((name, getattr(found, name) or "") for name in names),
            ("attempts", str(found.attempts)),
            ("held by", _holder(lease)),
            *((name, local_time(getattr(found, name))) for name in times),
            ("cost", cost),
            ("error", f"{found.error_type or ''}: {found.error_message}" if found.error_message else ""),
            ("output", found.output or (found.output_ref.uri if found.output_ref else "")),
            ("artifacts", _artifacts(found)),
        ]
    )


def cancel(
    execution_id: Annotated[str, typer.Argument(help="Id of the execution.")],
    reason: Annotated[str, typer.Option(help="Why; everyone who follows it will see it.")] = "",
    as_json: AsJson = False,
) -> None:
    """End an execution before its result, and wait until it has ended.

    Exit code 1 where it had ended already, or a result came first.
    """

    async def go() -> Any:
        from penstock.client import Client

        async with Client() as client:
            return await client.cancel(execution_id, reason=reason)

    found = complete(go())
    print_json(found) if as_json else print(found.status)
    if found.status != "cancelled":
        raise typer.Exit(1)


def list_executions(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant's.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only queued, admitted, running, completed, failed, timed_out, cancelled or rejected ones."
        ),
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


async def _shown(client: Client, follow: Follow, show: Callable[[Item], None]) -> tuple[list[r.Record], r.Record]:
    """Show every record; returns all but progress, and the one that settled the execution."""
    lifecycle: list[r.Record] = []
    settled: r.Record | None = None
    async with aclosing(follow) as records:
        async for record in records:
            show(record)
            if isinstance(record, r.ProgressRecord | ProgressGap):
                continue
            lifecycle.append(record)
            if client.settles(record):
                settled = record
    assert settled is not None, "following ends only after a record that settles it"
    return lifecycle, settled


def _before(first: str) -> Cursor | None:
    """The cursor before progress `[EPOCH:]SEQ`; None for the very first."""
    epoch, colon, seq = first.rpartition(":")
    try:
        cursor = Cursor(epoch=int(epoch) if colon else 1, seq=int(seq) - 1)
    except ValueError:
        cursor = Cursor(seq=-1)
    if cursor.epoch < 1 or cursor.seq < 0:
        raise InvalidInput(f"--from {first!r} is not SEQ or EPOCH:SEQ, whole numbers from 1 on")
    return None if (cursor.epoch, cursor.seq) == (1, 0) else cursor


def _artifacts(found: Execution) -> str:
    files = "1 file" if found.artifacts == 1 else f"{found.artifacts:,} files"
    return f"{files}: penstock artifacts {found.execution_id}" if found.artifacts else ""


def _holder(lease: Lease | None) -> str:
    if lease is None or lease.worker_id is None:
        return ""
    if lease.until is None:
        return f"{lease.worker_id} (attempt {lease.epoch}), not heard of lately"
    until = local_time(lease.until)
    lapsed = "" if lease.is_locked else "; has passed"
    return f"{lease.worker_id} (attempt {lease.epoch}) until {until} unless renewed{lapsed}"


def _tagged(record: Item) -> dict[str, Any]:
    return {"record_type": type(record).__name__} | as_dict(record)
