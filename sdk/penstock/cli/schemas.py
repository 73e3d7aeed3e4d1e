"""`penstock schemas`."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.output import AsJson, complete, print_json
from penstock.settings import RegistrySettings
from penstock_schemas.history import breaks_with, current, released
from penstock_schemas.topics import DEFAULT_QUEUE, all_topics

Queues = Annotated[str, typer.Option(envvar="PENSTOCK_QUEUES", help="Worker queues, comma-separated.")]


def register(app: typer.Typer) -> None:
    """Add the group `schemas`."""
    group = typer.Typer(help="The Avro contract and its registry.", no_args_is_help=True)
    group.command("register")(register_all)
    group.command("check")(check)
    app.add_typer(group, name="schemas")


def register_all(queues: Queues = DEFAULT_QUEUE, as_json: AsJson = False) -> None:
    """Register every record of every topic, FULL_TRANSITIVE; what is registered already stays as it is."""
    from penstock_schemas.registry import Registered, SchemaRegistry

    topics = all_topics(tuple(queues.split(",")))

    async def go() -> list[Registered]:
        async with SchemaRegistry(RegistrySettings().url) as registry:
            return await registry.register_all(topics.values())

    done = complete(go())
    if as_json:
        print_json([{"subject": d.subject, "schema_id": d.schema_id} for d in done])
    else:
        print(f"{len(done)} subjects are registered")


def check(
    offline: Annotated[bool, typer.Option("--offline", help="Only against the released versions.")] = False,
    queues: Queues = DEFAULT_QUEUE,
    as_json: AsJson = False,
) -> None:
    """Check the contract against every released version and against the registry; exit code 1 on a break.

    FULL_TRANSITIVE: every version ever released reads every other.
    """
    releases, now = released(), current()
    found = [
        {"against": f"release {version}", "path": b.path, "problem": b.problem}
        for version, release in releases.items()
        for b in breaks_with(release, now)
    ]
    if not offline:
        from penstock.registry_check import registry_breaks

        topics = all_topics(tuple(queues.split(",")))
        in_registry = complete(registry_breaks(RegistrySettings().url, topics.values()))
        found += [{"against": "the registry", "path": b.path, "problem": b.problem} for b in in_registry]
    if as_json:
        print_json({"breaks": found})
    for b in found if not as_json else ():
        print(f"BREAK against {b['against']}: {b['path']}: {b['problem']}")
    if found:
        raise typer.Exit(1)
    if not as_json:
        against = ", ".join(
            [*(f"release {version}" for version in releases), *([] if offline else ["the registry"])]
        )
        print(f"{len(now)} records are compatible with {against}")
