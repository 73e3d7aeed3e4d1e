"""Timers on the broker: they fire once, survive a restart, and yield to input that was there before them."""

from __future__ import annotations

import time

import pytest

from tests.kit.conftest import MakeWorld
from tests.kit.counting import command, counting_stage
from tests.kit.world import World

pytestmark = pytest.mark.integration


async def fired(world: World) -> list[str]:
    return [out.tenant_id for out in await world.outputs() if out.tier == "fired"]


async def test_a_timer_fires_once_also_over_a_restart(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.send([command("soon", "timer", 1), command("later", "timer", 3_000)])
    async with world.running():
        await world.wait_for_outputs(3)
        assert await fired(world) == ["soon"]
    async with world.running():
        await world.wait_for_outputs(4)
        assert await fired(world) == ["soon", "later"]
        await world.send([command("other")])
        await world.wait_for_outputs(5)
    assert sorted(await fired(world)) == ["later", "soon"]


async def test_an_overdue_timer_yields_to_a_cancellation_that_waited_unread(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.send([command("a", "timer", 60_000)])
    async with world.running():
        await world.wait_for_outputs(1)
    await world.send([command("a", "cancel")], to=world.commands)
    future = time.time_ns() // 1000 + 120_000_000  # two minutes later, by the injected clock
    async with world.running(clock=lambda: future):
        await world.wait_for_outputs(2)
        await world.send([command("end", "timer", 0)])
        await world.until(lambda: _fired(world, "end"), "timers fire")
    assert await fired(world) == ["end"]


async def test_a_timer_goes_by_the_brokers_time_whatever_the_wall_clock_says(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world()
    await world.send([command("later", "timer", 60_000)])
    async with world.running():
        await world.wait_for_outputs(1)
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + 600 * 10**9)
    async with world.running():
        await world.send([command("end", "timer", 0)])
        await world.until(lambda: _fired(world, "end"), "timers fire")
    assert await fired(world) == ["end"]


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_a_timer_of_much_later_waits_in_the_store_and_fires(make_world: MakeWorld, store: str) -> None:
    world, two_hours_us = await make_world(), 2 * 3_600 * 1_000_000
    begin = time.time_ns() // 1000
    now = begin
    await world.send([command("hour", "timer", 3_600_000), command("moved", "timer", 3_600_000)])
    async with world.running(clock=lambda: now, store=store) as runner:
        await world.wait_for_outputs(2)
        await world.send([command("moved", "timer", 7 * 3_600_000)])
        await world.wait_for_outputs(3)
        (task,) = runner._tasks or ()
        assert len(task._timers.soon) == 0
        now = begin + two_hours_us
        await world.until(lambda: _fired(world, "hour"), "what came near fires")
    await world.send([command("other", "timer", 5 * 3_600_000)])
    async with world.running(clock=lambda: now, store=store):
        await world.wait_for_outputs(5)
        now = begin + 4 * two_hours_us
        await world.until(lambda: _fired(world, "other"), "after a restart, too")
    assert sorted(await fired(world)) == ["hour", "moved", "other"]


async def test_a_new_owner_lets_nothing_with_grace_expire_before_its_grace_is_over(make_world: MakeWorld) -> None:
    world = await make_world()
    stage = counting_stage("counting", (world.requests, world.commands), world.out, grace_s=4.0)
    times = {"transaction_timeout_s": 1.0, "heartbeat_s": 1.0}
    await world.send([command("held", "grace", 0)])
    started = time.monotonic()
    async with world.running(stage, **times):
        await world.send([command("free", "timer", 0)])
        await world.until(lambda: _fired(world, "free"), "timers without grace fire")
        assert await fired(world) == ["free"]
        await world.until(lambda: _fired(world, "held"), "grace ends")
    assert time.monotonic() - started >= 4.0


async def _fired(world: World, tenant_id: str) -> bool:
    return tenant_id in await fired(world)


async def test_a_timer_fires_while_records_never_cease_to_arrive(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.send([command("a", "timer", 60_000)])
    async with world.running():
        await world.wait_for_outputs(1)
    await world.send([command("busy")] * 80)
    future = time.time_ns() // 1000 + 120_000_000
    async with world.running(clock=lambda: future, max_batch_records=1):
        await world.wait_for_outputs(2)  # it has begun, so it has asked where the inputs end
        await world.send([command("busy")] * 120)
        await world.wait_for_outputs(202)
    order = [out.tier for out in await world.outputs()]
    assert 80 <= order.index("fired") < 200, "after what was there when it was asked, before what came later"
