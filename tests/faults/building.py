"""Starting a world, and stopping it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from penstock.settings import KafkaSettings
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import TOPICS
from penstock_services.clickhouse import migrate
from penstock_services.topic_admin import apply_topics
from tests.faults import agents, skew
from tests.faults.evidence import Evidence
from tests.faults.servers import broker, clickhouse
from tests.faults.world import PARTITIONS, World


@asynccontextmanager
async def world(
    registry_url: str, folder: Path, *, guard: str = "", streams: int = 2, workers: int = 2
) -> AsyncIterator[World]:
    """A world in `folder`, healthy; everything it started is stopped at the end."""
    _install_agents(folder / "site")
    async with AsyncExitStack() as started:
        server = await started.enter_async_context(broker(folder, wires=2))
        engine, settings = await started.enter_async_context(clickhouse(folder))
        registry = await started.enter_async_context(SchemaRegistry(registry_url))
        evidence = Evidence(KafkaSettings(bootstrap_servers=server.bootstrap), Codec(registry))
        started.push_async_callback(evidence.close)
        made = World(folder, registry_url, server, engine, settings, evidence, guard)
        await _set_up(made)
        wired_worker, wired_streams = server.wired_bootstraps
        made.streams += [
            made.process("streams", f"streams-{n}", wired_streams if n == 1 else None) for n in range(streams)
        ]
        made.workers += [
            made.process("worker", f"worker-{n}", wired_worker if n == 1 else None) for n in range(workers)
        ]
        made.loaders.append(made.process("loader", "loader"))
        started.push_async_callback(_all_leave, made)
        await asyncio.gather(*(process.start() for process in made.ours))
        yield made


async def _all_leave(made: World) -> None:
    await asyncio.gather(*(process.leave() for process in made.ours))


_registering = asyncio.Lock()
"""Worlds share a registry, which refuses to change one subject twice at a time."""


async def _set_up(made: World) -> None:
    await apply_topics(made.kafka, TOPICS.values(), PARTITIONS)
    async with _registering, SchemaRegistry(made.registry_url) as registry:
        for topic in TOPICS.values():
            for record in topic.records:
                await registry.register(topic, record)
    await asyncio.to_thread(migrate, made.clickhouse)


def _install_agents(site: Path) -> None:
    """An installed distribution, as an agent's author would make, for the workers' path; and what may set the
    clocks of a process wrong."""
    info = site / "penstock_fault_agents-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: penstock-fault-agents\nVersion: 1\n")
    named = {agents.STEPPING: agents.SteppingAgent, agents.RECALLING: agents.RecallingAgent}
    entries = "\n".join(f"{name} = {agents.__name__}:{agent.__name__}" for name, agent in named.items())
    (info / "entry_points.txt").write_text(f"[penstock.agents]\n{entries}\n")
    (site / "sitecustomize.py").write_text(f"import {skew.__name__}\n")
