"""The embedded stack as data: which processes and steps there are, and what each comes after."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import replace

from pydantic import SecretStr

from penstock.errors import SandboxUnavailable
from penstock.settings import ClickHouseSettings
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import Topic
from penstock_services.clickhouse import migrate
from penstock_services.embedded.addresses import loopback_kafka
from penstock_services.embedded.brokers import Membership, broker_names
from penstock_services.embedded.jars import JavaServers
from penstock_services.embedded.java import Java
from penstock_services.embedded.kafka import kafka_process
from penstock_services.embedded.plan import Stack, Step
from penstock_services.embedded.ports import controller_of
from penstock_services.embedded.probes import http_probe
from penstock_services.embedded.process import ServerProcess
from penstock_services.embedded.registry import registry_process, registry_url
from penstock_services.embedded.state import Layout, StateFolder
from penstock_services.sandbox.host import require_host
from penstock_services.topic_admin import apply_topics
from penstock_services.topic_commands import TopicSettings


def embedded_stack(
    folder: StateFolder,
    layout: Layout,
    addresses: Mapping[str, str],
    java: Java,
    servers: JavaServers,
    *,
    servers_only: bool,
) -> Stack:
    """Kafka's brokers, registry, ClickHouse, their set-up, and (unless `servers_only`) our own processes on top.

    Args:
        addresses: the `PENSTOCK_*` settings that point at this stack; every process of ours gets them, whatever
            the shell that called `up` had set.
    """
    ports, topics = layout.ports, TopicSettings().topics()
    kafka_address = addresses["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"]
    environment = {**addresses, "PENSTOCK_HOME": str(folder.path)}
    if why_no_commands():
        environment[WORKER_TIERS] = ""
    brokers = _brokers(java, servers, folder, layout)
    kafka = tuple(broker.name for broker in brokers)
    registry = replace(
        registry_process(
            java,
            servers,
            ports["registry"],
            folder.log_of("registry"),
            kafka_bootstrap=kafka_address,
        ),
        # Alone, a broker and the registry start side by side. Its topic is to have all of several as replicas.
        after=kafka if layout.brokers > 1 else (),
        stops_before=kafka,
    )
    steps = (
        Step(name="topics", run=lambda: _apply_topics(kafka_address, topics, layout), after=kafka),
        Step(name="schemas", run=lambda: _register_schemas(ports["registry"], topics), after=(registry.name,)),
        Step(name="migrations", run=lambda: _migrate(addresses), after=("clickhouse",)),
    )
    ours = () if servers_only else ("streams", "loader", "worker")
    ready = tuple(step.name for step in steps)
    return Stack(
        processes=(
            *brokers,
            registry,
            _clickhouse_process(folder, ports["clickhouse"]),
            *(_own_process(name, folder, ports[name], environment, after=ready) for name in ours),
        ),
        steps=steps,
    )


WORKER_TIERS = "PENSTOCK_WORKER_TIERS"


def why_no_commands() -> str | None:
    """Why the stack's worker runs no agents' commands on this host; None where it does, or was told what to do.

    A worker that cannot hold its tiers does not start. Here, on whatever machine somebody tries this on, the rest
    should: commands are refused then, and never run weaker.
    """
    if WORKER_TIERS in os.environ:
        return None
    try:
        require_host()
    except SandboxUnavailable as exc:
        return str(exc)
    return None


def _brokers(java: Java, servers: JavaServers, folder: StateFolder, layout: Layout) -> list[ServerProcess]:
    names = broker_names(layout.brokers)
    controllers = tuple(layout.ports[controller_of(name)] for name in names)
    return [
        kafka_process(
            java,
            servers,
            folder.broker(name),
            folder.log_of(name),
            layout.ports[name],
            controllers[node - 1],
            member=Membership(node, layout.cluster_id, controllers) if layout.cluster_id is not None else None,
        )
        for node, name in enumerate(names, 1)
    ]


def _clickhouse_process(folder: StateFolder, port: int) -> ServerProcess:
    module = (sys.executable, "-m", "penstock_services.embedded.clickhouse")
    where = ("--path", str(folder.clickhouse), "--port", str(port))
    return ServerProcess(
        name="clickhouse",
        argv=(
            *(*module, *where),
            *("--password-file", str(folder.clickhouse_password)),
            *("--reader-password-file", str(folder.clickhouse_reader_password)),
        ),
        log_path=folder.log_of("clickhouse"),
        health=http_probe(f"http://127.0.0.1:{port}/ping", expected_body="Ok."),
        ports={"clickhouse": port},
    )


def _own_process(
    name: str, folder: StateFolder, port: int, environment: Mapping[str, str], after: tuple[str, ...]
) -> ServerProcess:
    return ServerProcess(
        name=name,
        argv=(sys.executable, "-m", "penstock", name),
        env={**environment, "PENSTOCK_HEALTH_PORT": str(port)},
        log_path=folder.log_of(name),
        health=http_probe(f"http://127.0.0.1:{port}/healthz"),
        ports={"health": port},
        after=after,
    )


START_REQUEST_S = 60.0
"""A registry that has just started, on a machine that is busy starting everything else, may take this long."""


async def _apply_topics(bootstrap: str, topics: list[Topic], layout: Layout) -> None:
    await apply_topics(loopback_kafka(bootstrap), topics, layout.partitions, replication=layout.brokers)


async def _register_schemas(port: int, topics: list[Topic]) -> None:
    async with SchemaRegistry(registry_url(port), timeout_s=START_REQUEST_S) as registry:
        await registry.register_all(topics)


async def _migrate(addresses: Mapping[str, str]) -> None:
    settings = ClickHouseSettings(
        host=addresses["PENSTOCK_CLICKHOUSE_HOST"],
        port=int(addresses["PENSTOCK_CLICKHOUSE_PORT"]),
        user=addresses["PENSTOCK_CLICKHOUSE_USER"],
        password=SecretStr(addresses["PENSTOCK_CLICKHOUSE_PASSWORD"]),
        database=addresses["PENSTOCK_CLICKHOUSE_DATABASE"],
        secure=False,
    )
    await asyncio.to_thread(migrate, settings)
