"""A replay, however it is cut into batches and wherever it begins again, gives the same bill byte for byte."""

from __future__ import annotations

import asyncio
import random
from secrets import token_hex
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from tests.consumers.loader.conftest import PARTITIONS, Kafka, RunLoader, until
from tests.consumers.loader.samples import ACCOUNTS, charged

from penstock_consumers.loader import Loader

pytestmark = pytest.mark.integration
LINES = 600
REPEATS = 4


async def rewind(kafka: Kafka, group: str, offsets: dict[TopicPartition, int]) -> None:
    """Set what `group` has committed."""
    consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
        bootstrap_servers=kafka.settings.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    finally:
        await consumer.stop()


def is_done(loader: Loader) -> bool:
    standings = [each for each in loader.standings() if each.topic == ACCOUNTS]
    return len(standings) == PARTITIONS and not any(each.behind for each in standings)


@pytest.mark.parametrize("emptied", [True, False], ids=["into emptied tables", "into filled tables"])
async def test_a_replay_gives_the_same_bill(
    kafka: Kafka, run_loader: RunLoader, clickhouse_client: Any, emptied: bool
) -> None:
    tenants = [f"replay-{token_hex(3)}" for _ in range(5)]
    chance = random.Random(7)
    lines = [
        charged(tenant, number, cost_nanousd=chance.randrange(10**9)).model_copy(
            update={"model": chance.choice(["gpt-4", "claude-3-opus", "it's 'new'"])}
        )
        for tenant in tenants
        for number in range(LINES // len(tenants))
    ]
    places = await kafka.produce(*lines, *chance.sample(lines, LINES // 10), topic=ACCOUNTS)  # some of them twice
    start = {TopicPartition(ACCOUNTS, number): 0 for number in range(PARTITIONS)}
    start |= {TopicPartition(p.topic, p.partition): p.offset for p in sorted(places, key=lambda p: -p.offset)}
    clickhouse_client.command("SYSTEM STOP MERGES ledger")
    where = f"WHERE tenant_id IN {tuple(tenants)}"

    def bill() -> bytes:
        rows = f"SELECT * FROM v_bill {where} ORDER BY tenant_id, period, model FORMAT TSVWithNames"
        return bytes(clickhouse_client.raw_query(rows))

    async with run_loader() as loader:
        await until(lambda: is_done(loader))
    first = bill()
    charged_nanousd = sum(line.cost_nanousd for line in lines)
    assert clickhouse_client.command(f"SELECT sum(cost_nanousd) FROM v_bill {where}") == charged_nanousd

    for _ in range(REPEATS):
        if emptied:
            clickhouse_client.command("TRUNCATE TABLE ledger")
        group = token_hex(4)
        begin = start
        for cut in (chance.randrange(1, 20), chance.randrange(20, 200), 100_000):
            await rewind(kafka, group, begin)
            async with run_loader(group_id=group, max_rows=cut, idle_linger_s=0.01, busy_linger_s=0.01) as loader:
                read = chance.randrange(LINES // 2)
                wanted = sum(begin.values()) + read
                await until(lambda loader=loader, wanted=wanted: sum(loaded_to(loader).values()) >= wanted)  # type: ignore[misc]
                done = loaded_to(loader)
            begin = {place: chance.randint(first, max(first, done[place])) for place, first in start.items()}
        async with run_loader(group_id=group, max_rows=chance.randrange(50, 500)) as loader:
            await until(lambda loader=loader: is_done(loader))  # type: ignore[misc]
        assert await asyncio.to_thread(bill) == first
    # The control: rows are there twice, and only their keys keep them off the bill.
    assert clickhouse_client.command(f"SELECT count() FROM ledger {where}") > LINES


def loaded_to(loader: Loader) -> dict[TopicPartition, int]:
    """The offset that everything before is loaded, by partition."""
    standings = [each for each in loader.standings() if each.topic == ACCOUNTS]
    return {TopicPartition(each.topic, each.partition): each.position for each in standings}
