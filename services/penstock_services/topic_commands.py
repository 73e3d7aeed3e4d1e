"""`penstock topics`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from pydantic import Field
from pydantic_settings import NoDecode, SettingsConfigDict
from rich.console import Console
from rich.table import Column, Table

from penstock.settings import KafkaSettings, Settings
from penstock_schemas import topics as declared
from penstock_services.topic_admin import apply_topics


class TopicSettings(Settings):
    """Which topics a cluster gets, and how many partitions."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_")

    partitions: Annotated[int, Field(ge=1)] | None = None
    """The same count for every topic; unset, each topic's declared one. It never changes under data."""
    replication: Annotated[int, Field(ge=1)] | None = None
    """Brokers that hold each new topic; unset, three, or all where there are fewer. Topics keep what they have."""
    queues: Annotated[str, NoDecode] = declared.DEFAULT_QUEUE
    """Worker queues, comma-separated."""

    def topics(self) -> list[declared.Topic]:
        names = {name.strip() for name in self.queues.split(",") if name.strip()} | {declared.DEFAULT_QUEUE}
        return list(declared.all_topics(tuple(sorted(names))).values())


def register(app: typer.Typer) -> None:
    """Add the group `topics` to the command line."""
    group = typer.Typer(help="The Kafka topics Penstock needs.", no_args_is_help=True)
    group.command("apply")(apply)
    group.command("list")(list_topics)
    app.add_typer(group, name="topics")


def apply() -> None:
    """Create the topics that do not exist yet; refuse a cluster that has them with other partition counts."""
    settings = TopicSettings()
    created = asyncio.run(
        apply_topics(KafkaSettings(), settings.topics(), settings.partitions, replication=settings.replication)
    )
    for name in created:
        print(f"created {name}")
    print(f"{len(settings.topics())} topics exist, {len(created)} of them new")


def list_topics(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every declared topic: its routing key, records, writers and retention."""
    topics = TopicSettings().topics()
    if as_json:
        print(json.dumps([_as_json(topic) for topic in topics]))
        return
    table = Table(Column("topic", no_wrap=True), "routing key", "records", "writers", "kept")
    for topic in topics:
        kept = (
            f"{topic.retention_s // 86_400} d" if topic.retention_s >= 86_400 else f"{topic.retention_s // 60} min"
        )
        records = ", ".join(record.__name__ for record in topic.records)
        table.add_row(topic.name, topic.routing_field, records, ", ".join(topic.writers), kept)
    Console().print(table)


def _as_json(topic: declared.Topic) -> dict[str, object]:
    return {
        "name": topic.name,
        "routing_key": topic.routing_field,
        "records": [record.__name__ for record in topic.records],
        "writers": topic.writers,
        "retention_s": topic.retention_s,
    }
