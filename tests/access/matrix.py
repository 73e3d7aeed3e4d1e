"""One cell of the access matrix at a time: what a user is let do, found out by doing it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)

from penstock.settings import KafkaSettings
from penstock_services.access.rules import Rule

ANSWERED_WITHIN_S = 20
IMPLIES_DESCRIBE = ("Read", "Write", "Delete")


def allows(rules: Iterable[Rule], principal: str, resource: str, name: str, operation: str) -> bool:
    """What `rules` say about one cell, as Kafka documents its authorizer."""
    sufficient = (operation, *IMPLIES_DESCRIBE) if operation == "Describe" else (operation,)
    return any(
        rule.principal == principal
        and rule.resource == resource
        and rule.operation in sufficient
        and (rule.name == name if rule.pattern == "literal" else name.startswith(rule.name))
        for rule in rules
    )


@dataclass
class Tries:
    """One user's connections. Each method says whether the broker let it happen."""

    settings: KafkaSettings
    admin: AIOKafkaAdminClient

    async def describe_topic(self, topic: str) -> bool:
        (described,) = await self.admin.describe_topics([topic])
        return _allowed(described["error_code"], TopicAuthorizationFailedError)

    async def read_topic(self, topic: str) -> bool:
        """Reads a record, which must be there."""
        consumer = AIOKafkaConsumer(
            **self.settings.client_options(), auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        await consumer.start()
        try:
            await consumer._client._wait_on_metadata(topic)  # without it a topic it may not see is waited for
            consumer.assign([TopicPartition(topic, 0)])
            consumer.seek(TopicPartition(topic, 0), 0)
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                assert (await consumer.getone()).topic == topic
        except TopicAuthorizationFailedError:
            return False
        finally:
            await consumer.stop()
        return True

    async def write_topic(self, topic: str) -> bool:
        producer = AIOKafkaProducer(**self.settings.client_options(), acks=1)
        await producer.start()
        try:
            await producer.send_and_wait(topic, b"tried", partition=0)
        except TopicAuthorizationFailedError:
            return False
        finally:
            await producer.stop()
        return True

    async def describe_group(self, group: str) -> bool:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            while True:
                try:
                    await self.admin.list_consumer_group_offsets(group)
                    return True
                except GroupAuthorizationFailedError:
                    return False
                except GroupCoordinatorNotAvailableError:  # the first use of any group makes the broker's topic
                    await asyncio.sleep(0.1)

    async def use_group(self, group: str, topic: str) -> bool:
        """Commits an offset of `topic`, which the user must be able to read."""
        consumer = AIOKafkaConsumer(**self.settings.client_options(), group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 0)])
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await consumer.commit({TopicPartition(topic, 0): 0})
        except GroupAuthorizationFailedError:
            return False
        finally:
            await consumer.stop()
        return True

    async def transact(self, transactional_id: str, topic: str) -> bool:
        """Commits a record to `topic`, which the user must be able to write."""
        producer = AIOKafkaProducer(**self.settings.client_options(), transactional_id=transactional_id)
        try:
            await producer.start()
            async with producer.transaction():
                await producer.send_and_wait(topic, b"tried", partition=0)
        except TransactionalIdAuthorizationFailed:
            return False
        finally:
            await producer.stop()
        return True


@asynccontextmanager
async def tries(settings: KafkaSettings) -> AsyncIterator[Tries]:
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        yield Tries(settings, admin)
    finally:
        await admin.close()


def _allowed(code: int, refusal: type[Exception]) -> bool:
    if code == 0:
        return True
    error = for_code(code)
    assert error is refusal, f"neither allowed nor refused: {error.__name__}"
    return False
