"""Routing by value: an outside producer's own partitioner spreads a tenant, the kit brings it together."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from confluent_kafka import Producer

from penstock_streams.kit.fold import Fold
from penstock_streams.kit.intake import Arrived
from tests.kit.conftest import MakeWorld
from tests.kit.counting import command
from tests.kit.world import World

pytestmark = pytest.mark.integration

PARTITIONS, TENANTS, EACH = 4, 6, 8


async def produce_with_librdkafka(world: World) -> None:
    """One tenant's requests under changing keys, placed by librdkafka's default (CRC32), compressed."""
    producer = Producer({"bootstrap.servers": world.bootstrap, "compression.type": "lz4"})
    async with world.codec() as codec:
        await codec.prepare_writers([world.requests])
        for number in range(TENANTS * EACH):
            value = codec.encode(world.requests.name, command(f"t{number % TENANTS}"))
            producer.produce(world.requests.name, value, key=f"request-{number}".encode(), headers=[("h", b"1")])
    assert await asyncio.to_thread(producer.flush, 10) == 0


async def writers_by_tenant(world: World) -> dict[str, set[int]]:
    """Partitions whose tasks hold a row for each tenant."""
    found: dict[str, set[int]] = defaultdict(set)
    for record in await world.raw(world.changelog):
        if record.key.startswith(b"r"):
            found[record.key[1:].decode()].add(record.partition)
    return found


async def test_a_tenant_spread_over_all_partitions_has_one_writer(make_world: MakeWorld) -> None:
    world = await make_world(PARTITIONS)
    await produce_with_librdkafka(world)
    async with world.running():
        await world.wait_for_outputs(TENANTS * EACH)
    expected = {f"t{n}": {world.requests.partition_of(command(f"t{n}"), PARTITIONS)} for n in range(TENANTS)}
    assert await writers_by_tenant(world) == expected
    counts = await world.counts()
    assert counts == {f"t{tenant}={n}": 1 for tenant in range(TENANTS) for n in range(1, EACH + 1)}
    forwarded = [record for record in await world.raw(world.requests.name) if record.headers]
    assert len(forwarded) > TENANTS * EACH, "bytes, key and headers travelled on unchanged"


async def test_control_without_forwarding_a_tenant_has_two_writers(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_record = Fold.record

    def folds_everything(self: Fold, arrived: Arrived) -> None:
        fold_record(self, Arrived(arrived.raw, arrived.raw.partition, arrived.record))

    monkeypatch.setattr(Fold, "record", folds_everything)
    world = await make_world(PARTITIONS)
    await produce_with_librdkafka(world)
    async with world.running():
        await world.wait_for_outputs(TENANTS * EACH)
    assert max(len(writers) for writers in (await writers_by_tenant(world)).values()) >= 2
    assert max((await world.counts()).values()) >= 2, "the same count was given out twice"
