"""The transactional producer alone: all or nothing, refusals, size of batches, renewal of the sequence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import MessageSizeTooLargeError

from penstock_services.topic_admin import kafka_admin
from penstock_streams.kit.batch import Message
from penstock_streams.kit.clock import BrokerClock
from penstock_streams.kit.producer import TransactionalProducer
from tests.kit.conftest import MakeWorld
from tests.kit.world import World

pytestmark = pytest.mark.integration


@asynccontextmanager
async def producing(world: World, **changed: Any) -> AsyncIterator[TransactionalProducer]:
    options: dict[str, Any] = {
        "transaction_timeout_s": 5,
        "batch_bytes": {},
        "renewal_records": 1 << 30,
        "clock": BrokerClock(),
    }
    producer = TransactionalProducer(f"{world.id}-0", world.id, world.kafka.client_options(), **options | changed)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def small_topic(world: World) -> str:
    """A topic that refuses batches above 20 kB."""
    name = f"{world.id}-small"
    async with kafka_admin(world.kafka) as admin:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "20000"})])
    return name


def messages(number: int, size: int = 10) -> list[Message]:
    return [Message(b"%d" % index, b"x" * size, [("h", b"1"), ("none", None)]) for index in range(number)]


async def test_what_a_broker_stamps_sets_the_clock(make_world: MakeWorld) -> None:
    world, clock = await make_world(), BrokerClock()
    async with producing(world, clock=clock) as producer:
        await producer.send({(world.out.name, 0): messages(1)})
        assert clock.is_set
        await producer.commit({})


async def test_a_refused_record_makes_nothing_of_its_transaction_visible(make_world: MakeWorld) -> None:
    world = await make_world()
    small = await small_topic(world)
    async with producing(world) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send({(world.out.name, 0): messages(3), (small, 0): messages(1, 30_000)})
    async with producing(world):  # the next owner ends the open transaction
        assert await world.raw(world.out.name) == []
        assert len(await world.raw(world.out.name, "read_uncommitted")) == 3


async def test_control_without_checking_the_futures_the_rest_is_committed(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(*_: object) -> dict[TopicPartition, int]:
        return {}

    monkeypatch.setattr(TransactionalProducer, "_check", unchecked)
    world = await make_world()
    small = await small_topic(world)
    async with producing(world) as producer:
        await producer.send({(world.out.name, 0): messages(3), (small, 0): messages(1, 30_000)})
        await producer.commit({})
    assert len(await world.visible(world.out.name, 3)) == 3, "a committed transaction that lacks a record"


async def test_many_batches_of_several_partitions_keep_their_order(make_world: MakeWorld) -> None:
    world = await make_world(partitions=2)
    async with producing(world, batch_bytes={world.out.name: 2_000}) as producer:
        sent = {(world.out.name, number): messages(300) for number in range(2)}
        ends = await producer.send(sent)
        await producer.commit({TopicPartition(world.requests.name, 0): 7})
    assert set(ends.values()) == {300}
    raw = await world.visible(world.out.name, 600)
    for number in range(2):
        assert [int(record.key) for record in raw if record.partition == number] == list(range(300))
    assert raw[0].headers == (("h", b"1"), ("none", None))
    assert await world.group_offsets() == {f"{world.requests.name}/0": 7}


async def test_one_record_of_the_largest_size_fits(make_world: MakeWorld) -> None:
    world = await make_world()
    async with producing(world) as producer:
        await producer.send({(world.out.name, 0): [Message(b"k", b"x" * 960 * 1024), *messages(2)]})
        await producer.commit({})
    assert len(await world.visible(world.out.name, 3)) == 3


async def test_a_worn_producer_is_renewed_between_transactions(make_world: MakeWorld) -> None:
    world = await make_world()
    async with producing(world, renewal_records=100) as producer:
        before = producer._producer
        for _ in range(3):
            await producer.renew_if_worn()
            await producer.send({(world.out.name, 0): messages(60)})
            await producer.commit({})
        assert producer._producer is not before
    assert len(await world.visible(world.out.name, 180)) == 180


async def test_control_past_the_end_of_the_sequence_nothing_can_be_sent(make_world: MakeWorld) -> None:
    world = await make_world()
    async with producing(world) as worn:
        assert worn._producer is not None
        worn._producer._txn_manager._sequence_numbers[TopicPartition(world.out.name, 0)] = 2**31 - 5
        with pytest.raises(Exception):  # noqa: B017, PT011 - whichever way aiokafka breaks
            async with asyncio.timeout(5):
                for _ in range(2):
                    await worn.send({(world.out.name, 0): messages(10)})
                    await worn.commit({})
