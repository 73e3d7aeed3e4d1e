"""Lag as `penstock status` shows it."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock.settings import KafkaSettings
from penstock_services.embedded.lag import GroupLag, group_lags
from tests.embedded.test_servers import create_topic

pytestmark = pytest.mark.integration


async def test_lag_is_what_a_group_has_not_committed_over_all_its_partitions(kafka_bootstrap: str) -> None:
    await create_topic(kafka_bootstrap, "test.lag", partitions=2)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for partition in (0, 0, 0, 1, 1):
            await producer.send_and_wait("test.lag", b"x", partition=partition)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka_bootstrap, group_id="test-lag", enable_auto_commit=False
    ) as consumer:
        consumer.assign([TopicPartition("test.lag", 0), TopicPartition("test.lag", 1)])
        await consumer.commit({TopicPartition("test.lag", 0): 1, TopicPartition("test.lag", 1): 2})
    lags = await group_lags(KafkaSettings(bootstrap_servers=kafka_bootstrap))
    assert [lag for lag in lags if lag.group == "test-lag"] == [GroupLag("test-lag", "test.lag", 2)]
