"""What a task believes when it starts: its position row. Group offsets, retention and outages do not move it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient

from penstock.errors import RegistryUnreachable
from penstock_schemas.registry import SchemaRegistry
from penstock_services.topic_admin import kafka_admin
from penstock_streams.kit import StageRunner, recovery, runner, task
from penstock_streams.kit.errors import (
    PartitionCountMismatch,
    PositionLost,
    PositionOutOfRange,
    TopicMissing,
    UnsafeTimeouts,
)
from penstock_streams.kit.rows import POSITION_KEY
from tests.kit.conftest import MakeWorld
from tests.kit.counting import command, counting_stage
from tests.kit.world import World

pytestmark = pytest.mark.integration


async def failure_of(world: World) -> BaseException:
    async with (
        world.codec() as codec,
        StageRunner([world.stage], world.settings(), codec, kafka=world.kafka) as runner,
    ):
        return await asyncio.wait_for(runner.wait_for_failure(), 20)


async def counted(world: World, number: int) -> None:
    """Send `number` commands and run until they are counted."""
    before = len(await world.outputs())
    await world.send([command("a")] * number)
    async with world.running():
        await world.wait_for_outputs(before + number)


async def test_deleted_group_offsets_replay_nothing(make_world: MakeWorld) -> None:
    world = await make_world()
    await counted(world, 20)
    await delete_group(world)
    assert await world.group_offsets() == {}
    await counted(world, 5)
    assert await world.counts() == {f"a={n}": 1 for n in range(1, 26)}


async def test_control_a_lost_position_row_would_replay_everything_so_it_stops(make_world: MakeWorld) -> None:
    world = await make_world()
    await counted(world, 5)
    await tombstone(world, POSITION_KEY)
    assert isinstance(failure := await failure_of(world), PositionLost)
    assert "rows but no input position" in str(failure)


async def test_a_deleted_changelog_stops_the_task_instead_of_running_everything_again(
    make_world: MakeWorld,
) -> None:
    world = await make_world()
    await counted(world, 5)
    async with kafka_admin(world.kafka) as admin:
        await admin.delete_topics([world.changelog])
    assert isinstance(failure := await failure_of(world), PositionLost)
    assert "changelog was deleted" in str(failure)


async def test_retention_that_ate_unread_input_stops_the_task(make_world: MakeWorld) -> None:
    world = await make_world()
    await counted(world, 5)
    await world.send([command("a")] * 5)
    async with kafka_admin(world.kafka) as admin:
        await admin.delete_records({TopicPartition(world.requests.name, 0): RecordsToDelete(before_offset=8)})
    assert isinstance(failure := await failure_of(world), PositionOutOfRange)
    assert "begins at 8, next to read is 5; 3 records are lost" in str(failure)


async def test_a_registry_outage_is_waited_out(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await make_world()
    by_id, down = SchemaRegistry.schema_by_id, True

    async def while_down(self: SchemaRegistry, schema_id: int) -> object:
        if down:
            raise RegistryUnreachable("the test took it down")
        return await by_id(self, schema_id)

    monkeypatch.setattr(SchemaRegistry, "schema_by_id", while_down)
    async with world.running() as runner:
        await world.send([command("a")] * 3)
        await world.until(lambda: "registry" in (runner.ready() or ""), "the task says that it waits")
        down = False
        await world.wait_for_outputs(3)
    assert await world.dead_letters() == []


async def test_a_task_that_is_revoked_while_it_takes_over_ends(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, stopping = await make_world(), asyncio.Event()
    stop = AIOKafkaConsumer.stop

    async def stop_like_aiokafka(self: AIOKafkaConsumer) -> None:
        stopping.set()
        with contextlib.suppress(asyncio.CancelledError):  # as its fetcher does
            await asyncio.sleep(0.5)
        await stop(self)

    monkeypatch.setattr(
        recovery, "AIOKafkaConsumer", type("Slow", (AIOKafkaConsumer,), {"stop": stop_like_aiokafka})
    )
    monkeypatch.setattr(task, "CANCEL_AGAIN_S", 3600.0)
    async with (
        asyncio.timeout(30),
        world.codec() as codec,
        StageRunner([world.stage], world.settings(), codec, kafka=world.kafka),
    ):
        await stopping.wait()


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, asked = await make_world(), asyncio.Event()

    async def swallowing(*_: object, **__: object) -> int:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return 0

    monkeypatch.setattr(runner, "catch_up", swallowing)
    monkeypatch.setattr(task, "CANCEL_AGAIN_S", 0.1)
    async with (
        asyncio.timeout(30),
        world.codec() as codec,
        StageRunner([world.stage], world.settings(), codec, kafka=world.kafka),
    ):
        await asked.wait()


async def test_what_is_missing_or_unsafe_is_refused_at_start(make_world: MakeWorld) -> None:
    world = await make_world()
    missing = replace(world.requests, name=f"{world.id}-nothing")
    with pytest.raises(TopicMissing, match="-nothing"):
        async with world.running(counting_stage("counting", (missing,), world.out)):
            pass
    with pytest.raises(UnsafeTimeouts, match="must together stay below its grace of 5 s"):
        async with world.running(counting_stage("counting", (world.requests,), world.out, grace_s=5)):
            pass
    other = await make_world(partitions=3)
    with pytest.raises(PartitionCountMismatch, match="must have one partition count"):
        async with world.running(counting_stage("counting", (world.requests, other.requests), world.out)):
            pass


async def tombstone(world: World, key: bytes) -> None:
    async with AIOKafkaProducer(**world.kafka.client_options()) as producer:
        await producer.send_and_wait(world.changelog, None, key=key, partition=0)


async def delete_group(world: World) -> None:
    admin = AdminClient({"bootstrap.servers": world.bootstrap})
    await asyncio.to_thread(admin.delete_consumer_groups([world.id])[world.id].result, 10)
