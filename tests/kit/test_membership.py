"""A process that reads nothing through its group stays in it, for as long as it runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from penstock_services.topic_admin import kafka_admin
from penstock_streams.kit import _faust
from tests.kit.conftest import MakeWorld
from tests.kit.counting import command
from tests.kit.world import World

pytestmark = pytest.mark.integration
LIMIT_S = 2.0


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_faust, "POLLED_WITHIN_S", LIMIT_S)


async def has_left(world: World) -> bool:
    async with kafka_admin(world.kafka) as admin:
        (groups,) = await admin.describe_consumer_groups([world.id])
    ((_, _, state, *_),) = groups.groups
    return bool(state == "Empty")


async def test_a_process_stays_in_its_group_long_after_the_poll_limit(make_world: MakeWorld) -> None:
    world = await make_world()
    async with world.running():
        begun_s = time.monotonic()
        await world.until(lambda: time.monotonic() > begun_s + 4 * LIMIT_S, "four times the limit is over")
        assert not await has_left(world)
        await world.send([command("a")] * 5)
        await world.wait_for_outputs(5)


async def test_control_a_process_that_does_not_poll_leaves_its_group(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def idle(self: Any, active_partitions: Any, timeout: float) -> Any:
        await self.sleep(0.1)
        return {}

    monkeypatch.setattr(_faust._IdleConsumer, "_getmany", idle)
    world = await make_world()
    async with world.running():
        await world.until(lambda: has_left(world), "the group is empty")
