"""`penstock up --brokers 3`: a cluster as in production, on one machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest
from aiokafka import AIOKafkaProducer
from dotenv import dotenv_values

from penstock_schemas import topics
from penstock_services.embedded.addresses import loopback_kafka
from penstock_services.topic_admin import kafka_admin
from tests.embedded.conftest import Home, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

BROKERS = ("kafka", "kafka-2", "kafka-3")


def test_the_life_of_a_stack_with_three_brokers(home: Home) -> None:
    up = home.penstock("up", "--brokers", "3", "--ports", "auto", "--servers-only")
    assert up.returncode == 0, up.stderr

    # Status shows each broker; the addresses that others read name them all.
    status = home.status()
    assert status["phase"] == "running"
    processes = {process["name"]: process for process in status["processes"]}
    assert set(processes) == {*BROKERS, "registry", "clickhouse"}
    assert all(process["state"] == "healthy" and process["pid"] for process in processes.values())
    assert status["rss_bytes"] < 4 * 2**30
    bootstrap = dotenv_values(home.path / "stack.env")["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"]
    assert bootstrap == ",".join(f"127.0.0.1:{processes[name]['ports'][name]}" for name in BROKERS)

    # Doctor asks each of them.
    doctor = {f["check"]: f["result"] for f in json.loads(home.penstock("doctor", "--json").stdout)}
    assert [doctor[f"kafka at {each} answers"] for each in bootstrap.split(",")] == ["ok"] * 3

    # Everything is there three times: our topics, the registry's, and the broker's own with its transactions.
    replicas = asyncio.run(replicas_of_every_topic(bootstrap))
    assert {topics.ACCOUNTS_EVENTS.name, "kafkasql-journal", "__transaction_state"} <= set(replicas)
    assert set(replicas.values()) == {3}

    # With one of them killed, what is written is acknowledged; the supervisor starts it again.
    before = home.processes()
    os.kill(before["kafka-2"].pid, signal.SIGKILL)
    asyncio.run(write_in_a_transaction(bootstrap))
    eventually(lambda: home.processes()["kafka-2"] != before["kafka-2"])
    eventually(lambda: states(home)["kafka-2"] == "healthy", within_s=60)
    now = home.processes()
    assert all(now[name] == before[name] for name in before if name != "kafka-2")

    # `down` stops all of them. Another number of brokers is refused then, and the same data starts again.
    assert home.penstock("down").returncode == 0
    assert not any(process.is_alive() for process in now.values())
    refused = home.penstock("up", "--brokers", "1", "--servers-only")
    assert refused.returncode != 0
    assert "--brokers 1: the data" in refused.stderr
    up = home.penstock("up", "--servers-only")
    assert up.returncode == 0, up.stderr
    assert set(states(home)) == set(processes)


def states(home: Home) -> dict[str, str]:
    return {process["name"]: process["state"] for process in home.run_file()["processes"]}


async def replicas_of_every_topic(bootstrap: str) -> dict[str, int]:
    """The smallest number of replicas that any partition of each topic has."""
    await write_in_a_transaction(bootstrap)  # with the first one Kafka makes its topic of transactions
    async with kafka_admin(loopback_kafka(bootstrap)) as admin:
        described = await admin.describe_topics()
    return {
        topic["topic"]: min(len(partition["replicas"]) for partition in topic["partitions"]) for topic in described
    }


async def write_in_a_transaction(bootstrap: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="test-three")
    async with producer, producer.transaction():
        await producer.send_and_wait(topics.DEAD_LETTERS.name, b"not a record", partition=0)
