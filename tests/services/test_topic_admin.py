"""Declared topics on a real broker."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from penstock.errors import ContractError, InvalidInput, KafkaUnreachable
from penstock.settings import KafkaSettings
from penstock_schemas.topics import ACCOUNTS_EVENTS, DEAD_LETTERS, Topic
from penstock_services.embedded.ports import free_ports
from penstock_services.topic_admin import apply_topics, kafka_admin

pytestmark = pytest.mark.integration


def topics_of_this_test() -> list[Topic]:
    suffix = uuid.uuid4().hex[:8]
    return [dataclasses.replace(topic, name=f"{topic.name}-{suffix}") for topic in (ACCOUNTS_EVENTS, DEAD_LETTERS)]


@pytest.fixture
def kafka(kafka_bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka_bootstrap)


async def test_missing_topics_are_created_and_existing_ones_left_alone(kafka: KafkaSettings) -> None:
    topics = topics_of_this_test()
    assert await apply_topics(kafka, topics[:1], partitions=2) == [topics[0].name]
    assert await apply_topics(kafka, topics, partitions=2) == [topics[1].name]
    assert await apply_topics(kafka, topics, partitions=2) == []


async def test_a_topic_gets_its_declared_retention_and_the_brokers_clock(kafka: KafkaSettings) -> None:
    topics = topics_of_this_test()
    await apply_topics(kafka, topics, partitions=1)
    async with kafka_admin(kafka) as admin:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topics[0].name)])
    settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    assert settings["retention.ms"] == str(topics[0].retention_s * 1000)
    assert settings["message.timestamp.type"] == "LogAppendTime"
    assert settings["max.message.bytes"] == str(1024 * 1024)


async def test_a_changed_partition_count_is_refused_and_creates_nothing(kafka: KafkaSettings) -> None:
    topics = topics_of_this_test()
    await apply_topics(kafka, topics[:1], partitions=2)
    with pytest.raises(ContractError, match="has 2 and should have 3"):
        await apply_topics(kafka, topics, partitions=3)
    assert await apply_topics(kafka, topics, partitions=2) == [topics[1].name]


async def test_two_processes_may_apply_the_same_topics_at_once(kafka: KafkaSettings) -> None:
    topics = topics_of_this_test()
    created = await asyncio.gather(*(apply_topics(kafka, topics, partitions=2) for _ in range(3)))
    assert sorted(name for names in created for name in names) == sorted(topic.name for topic in topics)


async def test_more_copies_than_there_are_brokers_are_refused_and_nothing_is_created(kafka: KafkaSettings) -> None:
    topics = topics_of_this_test()
    with pytest.raises(InvalidInput, match="PENSTOCK_REPLICATION 3: only 1 "):
        await apply_topics(kafka, topics, partitions=1, replication=3)
    assert len(await apply_topics(kafka, topics, partitions=1, replication=1)) == len(topics)


async def test_control_topics_that_exist_need_no_more_brokers(kafka: KafkaSettings) -> None:
    topics = topics_of_this_test()
    await apply_topics(kafka, topics, partitions=1)
    assert await apply_topics(kafka, topics, partitions=1, replication=3) == []


async def test_a_cluster_that_does_not_answer_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(KafkaUnreachable, match=f"127.0.0.1:{port}"):
        await apply_topics(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), topics_of_this_test())
