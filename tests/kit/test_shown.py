"""The group's offsets follow the tasks, for displays: late by a second, and never in the way of anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition

from penstock_streams.kit import shown
from tests.kit.conftest import MakeWorld
from tests.kit.counting import command
from tests.kit.test_takeover import counted, delete_group

A, B = TopicPartition("a", 0), TopicPartition("b", 1)


async def test_only_what_changed_is_shown_and_what_failed_is_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "SHOWN_EVERY_S", 0.0)
    positions: list[Mapping[TopicPartition, int]] = [{A: 1}, {B: 5}]
    asked: list[Mapping[TopicPartition, int]] = []
    enough = asyncio.Event()

    async def commit(offsets: Mapping[TopicPartition, int]) -> None:
        asked.append(offsets)
        if len(asked) == 1:
            raise OSError("the broker is away")
        if len(asked) == 2:
            positions[0] = {A: 2}
        if len(asked) == 3:
            enough.set()

    showing = asyncio.create_task(shown.show(lambda: positions, commit))
    await asyncio.wait_for(enough.wait(), 10)
    showing.cancel()
    assert asked == [{A: 1, B: 5}, {A: 1, B: 5}, {A: 2}]


@pytest.mark.integration
async def test_the_offsets_reach_the_position_and_do_so_again_for_an_idle_owner(make_world: MakeWorld) -> None:
    world = await make_world()
    requests = f"{world.requests.name}/0"

    async def are_shown(offset: int) -> bool:
        return (await world.group_offsets()).get(requests) == offset

    await world.send([command("a")] * 20)
    async with world.running():
        await world.wait_for_outputs(20)
        await world.send([command("a")])
        await world.until(lambda: are_shown(21), "what was committed after the first transaction is shown")
    await delete_group(world)
    async with world.running():
        await world.until(lambda: are_shown(21), "an owner with nothing to do shows where it stands")
    await counted(world, 1)
    assert len(await world.outputs()) == 22


@pytest.mark.integration
async def test_an_input_that_was_never_read_is_not_shown(make_world: MakeWorld) -> None:
    """A group offset says that a topic was read: without a table it would refuse to start."""
    world = await make_world()
    async with world.running() as runner:
        await world.until(lambda: runner.ready() is None, "the task runs")
        assert not any(task.shown() for task in runner._tasks or ())
    assert await world.group_offsets() == {}


@pytest.mark.integration
async def test_an_input_first_read_after_a_restart_travels_in_its_transaction(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "SHOWN_EVERY_S", 1_000.0)
    world = await make_world()
    await world.send([command("a")])
    async with world.running():
        await world.wait_for_outputs(1)
    assert await world.group_offsets() == {f"{world.requests.name}/0": 1}
    await world.send([command("a")], to=world.commands)
    async with world.running():
        await world.wait_for_outputs(2)
    assert await world.group_offsets() == {f"{topic.name}/0": 1 for topic in (world.requests, world.commands)}
