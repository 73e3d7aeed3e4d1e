"""A command for every partition is on all of them or on none, whoever else writes one."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from penstock.broadcasting import Broadcasting
from penstock.client import Client
from penstock.connecting import KafkaConnection
from penstock.errors import InvalidInput, KafkaUnreachable
from penstock.settings import KafkaSettings
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_COMMANDS
from tests.sdk.platform import NOWHERE, PARTITIONS, Platform

pytestmark = pytest.mark.integration


def listing(event_id: str) -> r.ListPrice:
    return r.ListPrice(event_id=event_id, tenant_id="_penstock", occurred_at=1, partition=0, prices=[])


async def committed(platform: Platform) -> list[tuple[int, r.ListPrice]]:
    """Every visible ListPrice and the partition it lies in."""
    partitions = await platform.connection.partitions_of(ACCOUNTS_COMMANDS)
    ends = await platform.connection.end_offsets(partitions)
    found: list[tuple[int, r.ListPrice]] = []
    async with platform.connection.consumer_at(dict.fromkeys(partitions, 0)) as consumer:
        while any([await consumer.position(to) < ends[to] for to in partitions]):
            for to, messages in (await consumer.getmany(timeout_ms=200)).items():
                for message in messages:
                    record = await platform.encoding.decode(to.topic, message.value)
                    if isinstance(record, r.ListPrice):
                        found.append((to.partition, record))
    return found


async def test_every_partition_has_its_copy_and_an_open_transaction_of_another_writer_leaves_nothing(
    platform: Platform,
):
    (to, *_) = await platform.connection.partitions_of(ACCOUNTS_COMMANDS)
    other = AIOKafkaProducer(
        **platform.kafka.client_options(), transactional_id=f"penstock-operator-{ACCOUNTS_COMMANDS.name}"
    )
    await other.start()
    try:
        await other.begin_transaction()
        value = await platform.encoding.encode(ACCOUNTS_COMMANDS, listing("other"))
        await other.send_and_wait(to.topic, value, partition=to.partition)
        broadcasting = Broadcasting(platform.connection, platform.encoding)
        await broadcasting.write(ACCOUNTS_COMMANDS, [listing("one"), listing("two")])
        with pytest.raises(ProducerFenced):
            await other.commit_transaction()
    finally:
        await other.stop()
    visible = await committed(platform)
    assert all(partition == record.partition for partition, record in visible)
    for partition in range(PARTITIONS):
        assert [record.event_id for number, record in visible if number == partition] == ["one", "two"]


async def test_without_kafka_nothing_is_written_and_the_error_names_the_setting(platform: Platform):
    connection = KafkaConnection(KafkaSettings(bootstrap_servers=NOWHERE), 1.0)
    with pytest.raises(KafkaUnreachable, match="PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"):
        await Broadcasting(connection, platform.encoding).write(ACCOUNTS_COMMANDS, [listing("lost")])
    await connection.close()


async def test_no_prices_at_all_are_refused(client: Client):
    with pytest.raises(InvalidInput, match="prices"):
        await client.set_prices([])


async def test_a_float_is_refused_as_a_price(client: Client):
    with pytest.raises(InvalidInput, match="not exact"):
        await client.set_price("m", input_per_mtok=0.1, output_per_mtok="1")  # type: ignore[arg-type]
