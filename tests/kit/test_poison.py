"""Records that cannot be used, on a real topic: each is a dead letter, and the partition goes on."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.record._crc32c import crc as crc32c

from penstock_schemas.records import ConfigureTenant, Record, TenantConfigured
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import MAX_RECORD_BYTES
from penstock_services.topic_admin import kafka_admin
from tests.kit.conftest import MakeWorld
from tests.kit.counting import command, counting_stage
from tests.kit.world import World

pytestmark = pytest.mark.integration


async def frame(world: World, record: type[Record] = ConfigureTenant) -> bytes:
    """The first five bytes of a value written with the schema of `record`."""
    async with SchemaRegistry(world.registry_url) as registry:
        each = world.requests if record is ConfigureTenant else world.out
        return b"\0" + (await registry.id_of(each, record)).to_bytes(4, "big")


async def test_every_kind_of_poison_becomes_a_dead_letter_and_the_partition_goes_on(make_world: MakeWorld) -> None:
    world = await make_world()
    ours = await frame(world)
    bad: dict[str, list[bytes | None]] = {
        "bad_framing": [None, b"", b"\x01\x00\x00\x00\x01x", b"plain text"],
        "unknown_schema_id": [b"\0\x7f\xff\xff\xff" + b"x"],
        "foreign_schema": [await frame(world, TenantConfigured) + b"x"],
        "bad_payload": [ours + b"\x02", ours + b"\x02\xff" * 40],
    }
    for values in bad.values():
        for value in values:
            await world.send_raw(value, headers=[("traceparent", b"00-1-2-01")])
    too_big = [command("a", "big", MAX_RECORD_BYTES), command("a", "bigrow", MAX_RECORD_BYTES)]
    await world.send([*too_big, command("a", "raise"), command("a", "number"), command("a")])
    async with world.running():
        (out,) = await world.wait_for_outputs(1)
        assert (out.tenant_id, out.concurrency) == ("a", 1)
        letters = await world.dead_letters()
    expected = [code for code, values in bad.items() for _ in values]
    expected += ["record_too_large"] * 2 + ["ArithmeticError", "TypeError"]
    assert [letter.error_code for letter in letters] == expected
    assert [letter.source_offset for letter in letters] == list(range(len(expected)))
    assert letters[3].value == b"plain text"
    assert (letters[3].key, letters[3].headers) == (b"k", {"traceparent": b"00-1-2-01"})
    assert {letter.stage for letter in letters} == {"counting"}


async def test_an_output_over_the_limit_of_its_topic_is_poison_and_no_crash_loop(make_world: MakeWorld) -> None:
    world = await make_world()
    await limit_message_bytes(world, 20_000)
    await world.send([command("a", "big", 30_000), command("a")])
    async with world.running():
        await world.wait_for_outputs(1)
    assert [letter.error_code for letter in await world.dead_letters()] == ["record_too_large"]


async def test_control_a_limit_lowered_under_a_running_process_ends_it_and_the_next_one_knows(
    make_world: MakeWorld,
) -> None:
    world = await make_world()
    async with world.running() as runner:
        await limit_message_bytes(world, 20_000)  # after the limits were read
        await world.send([command("a", "big", 30_000), command("a")])
        failure = await runner.wait_for_failure()
        assert type(failure).__name__ == "MessageSizeTooLargeError"
    world.failures.clear()
    assert await world.outputs() == []
    async with world.running():
        await world.wait_for_outputs(1)


async def _buried(world: World, number: int) -> bool:
    return len(await world.dead_letters()) == number


async def limit_message_bytes(world: World, limit: int) -> None:
    async with kafka_admin(world.kafka) as admin:
        config = {"max.message.bytes": str(limit)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, world.out.name, config)])


async def test_an_output_the_stage_does_not_declare_is_poison(make_world: MakeWorld) -> None:
    world = await make_world()
    stage = counting_stage("counting", (world.requests,), world.out)
    undeclared = type(stage)(stage.name, stage.inputs, (), stage.row_types, stage.decide)
    await world.send([command("a")])
    async with world.running(undeclared):
        await world.until(lambda: _buried(world, 1), "it is a dead letter")
    assert "does not declare" in (await world.dead_letters())[0].error_message


async def send_with_broken_header_name(world: World) -> None:
    """A header name that is not UTF-8, as a C client may send one: aiokafka's own builder cannot."""
    async with AIOKafkaProducer(**world.kafka.client_options(), enable_idempotence=False) as producer:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=b"k", value=b"v", headers=[("zz", b"1")])
        batch.close()
        built = batch._build()
        built[:] = bytes(built).replace(b"zz", b"\xff\xfe")
        built[17:21] = crc32c(bytes(built[21:])).to_bytes(4, "big")
        await (await producer.send_batch(batch, world.requests.name, partition=0))


async def test_a_header_name_that_is_not_utf_8_does_not_stop_the_partition(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.send([command("a")] * 3)
    await send_with_broken_header_name(world)
    await world.send([command("a")] * 3)
    async with world.running():
        await world.wait_for_outputs(6)
        await world.send([command("a")])
        await world.wait_for_outputs(7)
    (letter,) = await world.dead_letters()
    assert (letter.source_offset, letter.value, letter.headers) == (3, b"v", {"\\xff\\xfe": b"1"})
