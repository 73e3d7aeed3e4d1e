"""A cluster of three brokers, set up as `penstock up --brokers 3` does, and what a fault must know of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiokafka.errors import KafkaError

from penstock.errors import KafkaUnreachable
from penstock.settings import KafkaSettings
from penstock_services.embedded.brokers import Membership, broker_names, new_cluster_id
from penstock_services.embedded.jars import java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.kafka import kafka_process
from penstock_services.embedded.ports import free_ports
from penstock_services.topic_admin import kafka_admin
from tests.faults.kept import Kept, until
from tests.faults.servers import Broker, kept_running

BROKERS = 3


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Broker]:
    """Three brokers with their data in `folder`, each a controller too; everything is there three times."""
    java, jars, names = find_java(), java_servers(), broker_names(BROKERS)
    ports = free_ports(2 * BROKERS)
    clients, controllers = ports[:BROKERS], tuple(ports[BROKERS:])
    cluster_id = new_cluster_id()
    brokers = [
        Kept(
            kafka_process(
                java,
                jars,
                folder / name,
                folder / f"{name}.log",
                clients[node - 1],
                controllers[node - 1],
                member=Membership(node, cluster_id, controllers),
            )
        )
        for node, name in enumerate(names, 1)
    ]
    async with AsyncExitStack() as started:
        starting = [started.enter_async_context(kept_running(broker)) for broker in brokers]
        await asyncio.gather(*starting)
        bootstrap = ",".join(f"127.0.0.1:{port}" for port in clients)
        yield Broker(brokers[0], bootstrap, (), (), tuple(brokers))


def active_controller(folder: Path, brokers: Sequence[Kept]) -> Kept:
    """The broker that leads the quorum of controllers, as the last election that any of them wrote down says."""
    states = [
        json.loads((folder / broker.name / "data" / "__cluster_metadata-0" / "quorum-state").read_text())
        for broker in brokers
    ]
    last = max(states, key=lambda state: (state["leaderEpoch"], state["leaderId"]))
    return brokers[last["leaderId"] - 1]


async def until_replicated(kafka: KafkaSettings) -> None:
    """Wait until every replica of every partition is in sync again: only then may another broker go."""

    async def replicated() -> bool:
        try:
            async with kafka_admin(kafka) as admin:
                topics = await admin.describe_topics()
        except (KafkaError, KafkaUnreachable):
            return False
        partitions = [partition for topic in topics for partition in topic["partitions"]]
        return all(len(partition["isr"]) == len(partition["replicas"]) for partition in partitions)

    await until(replicated, "all replicas are in sync")
