"""The broker and the registry by themselves, as every other integration test gets them."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from tests.fixtures.kafka import own_kafka

pytestmark = pytest.mark.integration


async def test_the_broker_does_not_create_a_topic_that_nobody_declared(kafka_bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        answer = await admin.describe_topics(["penstock.mistyped.v1"])
    finally:
        await admin.close()
    assert answer[0]["error_code"] == UnknownTopicOrPartitionError.errno


async def test_the_broker_takes_transactions(kafka_bootstrap: str) -> None:
    await create_topic(kafka_bootstrap, "test.transactions")
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id="test-servers") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait("test.transactions", b"committed")
        await producer.commit_transaction()


async def test_what_was_acknowledged_survives_kill_9_of_the_broker(tmp_path: Path) -> None:
    async with own_kafka(tmp_path) as kafka:
        await create_topic(kafka.bootstrap, "test.survives")
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all") as producer:
            await producer.send_and_wait("test.survives", b"acknowledged")
        await kafka.kill()
        await kafka.restart()
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition("test.survives", 0)])
            assert (await consumer.getone()).value == b"acknowledged"
        finally:
            await consumer.stop()


async def test_the_registry_speaks_the_confluent_api(registry_url: str) -> None:
    schema = '{"type": "record", "name": "Probe", "fields": []}'
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{registry_url}/subjects/test-probe/versions", json={"schema": schema}) as answer:
            schema_id = (await answer.json(content_type=None))["id"]
        async with session.get(f"{registry_url}/schemas/ids/{schema_id}") as answer:
            assert '"Probe"' in (await answer.json(content_type=None))["schema"]


async def create_topic(bootstrap: str, name: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])
    finally:
        await admin.close()
