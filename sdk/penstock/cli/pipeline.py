"""`penstock pipeline`: run, validate, get, list, cancel and resume."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.input import definition_in, input_text
from penstock.cli.output import (
    ERRORS,
    AsJson,
    as_dict,
    complete,
    print_json,
    print_text,
    printable,
)
from penstock.cli.pipeline_tables import print_definition, print_pipeline, print_pipelines
from penstock.cli.pipeline_view import PipelineView
from penstock.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from penstock.client import Client
    from penstock.pipelines.models import Pipeline, StartedPipeline
    from penstock_schemas.records.pipelines import PipelineEvent

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="The definition, YAML or JSON; - reads it.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the pipeline.")]
TenantOption = Annotated[str, typer.Option("--tenant", "-t", help="Who pays.")]
UserOption = Annotated[str | None, typer.Option("--user", "-u", help="The tenant's user whose pipeline it is.")]
FollowOption = Annotated[
    bool, typer.Option("--follow/--no-follow", "-f", help="Show each stage as it goes, then print the output.")
]


def register(app: typer.Typer) -> None:
    """Add the group `pipeline`."""
    group = typer.Typer(
        help="Run agents one after another and side by side.",
        no_args_is_help=True,
    )
    group.command("run")(run)
    group.command("validate")(validate)
    group.command("get")(get)
    group.command("list")(list_pipelines)
    group.command("cancel")(cancel)
    group.command("resume")(resume)
    app.add_typer(group, name="pipeline")


def run(
    file: FileArgument,
    input: Annotated[str, typer.Option("--input", "-i", help="The text, @FILE, or - for standard input.")],
    tenant: TenantOption = "default",
    user: UserOption = None,
    request_id: Annotated[
        str | None, typer.Option(help="Your own id: the same request sent twice runs once.")
    ] = None,
    follow: FollowOption = False,
    as_json: AsJson = False,
) -> None:
    """Start a pipeline and print its id; with --follow, its stages as they go and its output.

    Stages go to standard error and the output to standard output, so it can be piped. Exit code 1 where a stage
    failed: `penstock pipeline resume` goes on from there.
    """
    if file == "-" and input == "-":
        raise InvalidInput("FILE and --input cannot both be standard input")
    definition = definition_in(file)
    text = input_text(input)

    async def go() -> None:
        from penstock.client import Client

        async with Client() as client:
            started = await client.start_pipeline(
                definition, text, tenant=tenant, user=user, request_id=request_id
            )
            if follow:
                await _followed(client, started, as_json)
            else:
                print_json(started) if as_json else print(started.pipeline_id)

    complete(go())


def validate(file: FileArgument, as_json: AsJson = False) -> None:
    """Check a definition without running it, and show its stages as they would run.

    Exit code 2 where it cannot run, with the place and what is wrong.
    """
    from penstock.pipelines.templates import left_alone

    definition = definition_in(file)
    flat = definition.flat()
    if as_json:
        stages = [as_dict(stage.definition) | {"step": stage.step, "name": stage.name} for stage in flat]
        print_json({"name": definition.name, "stages": stages})
    else:
        print_definition(definition)
    for stage in flat:
        if words := left_alone(stage.prompt_template or ""):
            ERRORS.print(
                f"stage {stage.name!r}: {printable(', '.join(words))} is no placeholder and stays as it is",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )


def get(
    pipeline_id: IdArgument,
    tenant: TenantOption = "default",
    user: UserOption = None,
    output_of: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Print only the whole output of this stage.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a pipeline with its stages, as of now."""

    async def go() -> tuple[Pipeline, str]:
        from penstock.client import Client

        async with Client() as client:
            found = await client.pipeline(pipeline_id, tenant=tenant, user=user)
            if output_of is None:
                return found, await client.output_of_stage(found)
            for stage in found.stages:
                if stage.name == output_of:
                    return found, await client.output_of_stage(stage)
            started = ", ".join(stage.name for stage in found.stages)
            raise NotFound(f"pipeline {pipeline_id} has not started a stage {output_of!r}; it has: {started}")

    found, output = complete(go())
    if output_of is not None:
        print_text(output)
    elif as_json:
        print_json(as_dict(found) | {"output": output if found.status == "completed" else None})
    else:
        print_pipeline(found)
        if output:
            print()
            print_text(output)


def list_pipelines(
    tenant: TenantOption = "default",
    user: UserOption = None,
    status: Annotated[str | None, typer.Option(help="Only running, completed, failed or cancelled ones.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List a tenant's pipelines, newest first."""

    async def go() -> list[Pipeline]:
        from penstock.client import Client

        async with Client() as client:
            return list(await client.list_pipelines(tenant, user=user, status=status, limit=limit))

    found = complete(go())
    if as_json:
        print_json([as_dict(each, exclude={"stages", "cost_nanousd"}) for each in found])
    else:
        print_pipelines(found)


def cancel(
    pipeline_id: IdArgument,
    tenant: TenantOption = "default",
    user: UserOption = None,
    reason: Annotated[str, typer.Option(help="Why; everyone who follows it will see it.")] = "",
    as_json: AsJson = False,
) -> None:
    """End a pipeline before its result, and wait until nothing of it runs.

    Exit code 1 where it had ended already, or its end came first.
    """

    async def go() -> Pipeline:
        from penstock.client import Client

        async with Client() as client:
            return await client.cancel_pipeline(pipeline_id, tenant=tenant, user=user, reason=reason)

    found = complete(go())
    print_json(found) if as_json else print(found.status)
    if found.status != "cancelled":
        raise typer.Exit(1)


def resume(
    pipeline_id: IdArgument,
    tenant: TenantOption = "default",
    user: UserOption = None,
    follow: FollowOption = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a failed pipeline at the step that failed; what was completed is kept."""

    async def go() -> None:
        from penstock.client import Client

        async with Client() as client:
            resumed = await client.resume_pipeline(pipeline_id, tenant=tenant, user=user)
            if follow:
                await _followed(client, resumed, as_json)
            else:
                print_json(resumed) if as_json else print(resumed.pipeline_id)

    complete(go())


async def _followed(client: Client, started: StartedPipeline, as_json: bool) -> None:
    """Show every event, then the output, or raise the error that says why there is none."""
    with PipelineView(ERRORS) as view:
        view.begin(started.pipeline_id)
        ending = await _shown(view, client.follow_pipeline(started))
    if as_json:
        found = await client.pipeline(started.pipeline_id, tenant=started.tenant_id, user=started.user_id)
        print_json(found)
    output = await client.pipeline_output_of(ending)
    if not as_json:
        print_text(output)


async def _shown(view: PipelineView, events: AsyncGenerator[PipelineEvent, None]) -> PipelineEvent:
    ending: PipelineEvent | None = None
    async with aclosing(events) as seen:
        async for event in seen:
            view.show(event)
            ending = event
    assert ending is not None, "following ends only after an event that ends the pipeline"
    return ending
