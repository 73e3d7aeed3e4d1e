"""Processes that die or freeze at each step of the commit order: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kit.conftest import MakeWorld
from tests.kit.counting import command
from tests.kit.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

STEPS = ("folded", "begun", "flushed", "checked", "before_commit", "committed", "applied")
TENANTS = 7
SECOND = 3
"""The batch after the first that has records in it; before that an empty one sets the clock."""


def truth(commands: int) -> Counter[str]:
    """Every count of every tenant, once."""
    return Counter({f"t{tenant}={n}": 1 for tenant in range(TENANTS) for n in range(1, commands // TENANTS + 1)})


async def send(world: World, commands: int) -> None:
    await world.send(command(f"t{number % TENANTS}") for number in range(commands))


async def test_a_kill_at_every_step_loses_and_repeats_nothing(make_world: MakeWorld) -> None:
    world = await make_world()
    for step in STEPS:
        await send(world, 140)  # three batches of at most 50; the second one dies
        async with world.process(crash_at=f"{step}:{SECOND}") as process:
            assert await asyncio.wait_for(process.wait(), 40) == -signal.SIGKILL, step
    async with world.process():
        await world.wait_for_outputs(140 * len(STEPS))
    assert await world.counts() == truth(140 * len(STEPS))


async def test_a_frozen_owner_that_wakes_up_is_fenced(make_world: MakeWorld) -> None:
    world = await make_world()
    await send(world, 140)
    async with world.process(crash_at=f"checked:{SECOND}:SIGSTOP") as frozen:
        await world.until(lambda: _stopped(frozen.pid), "the process froze inside its batch")
        async with world.process(folder="rocks-2"):
            await world.wait_for_outputs(140)  # the other one took over
            frozen.send_signal(signal.SIGCONT)
            await send(world, 140)
            await world.wait_for_outputs(280)
            with suppress(ProcessLookupError):  # fenced, it has ended; it lives where the rebalance came first
                frozen.terminate()
            assert await asyncio.wait_for(frozen.wait(), 40) in (70, 0)
    assert await world.counts() == truth(280)


async def test_control_without_recovery_a_kill_after_the_commit_repeats_its_batch(make_world: MakeWorld) -> None:
    world = await make_world()
    await send(world, 140)
    async with world.process(crash_at=f"committed:{SECOND}") as process:
        assert await asyncio.wait_for(process.wait(), 40) == -signal.SIGKILL
    async with world.process(without="recovery"):
        await world.wait_for_outputs(190)
    assert max((await world.counts()).values()) == 2


async def test_control_without_fencing_a_frozen_owner_commits_its_batch_again(make_world: MakeWorld) -> None:
    world = await make_world()
    await send(world, 140)
    async with world.process(crash_at=f"begun:{SECOND}:SIGSTOP", without="fencing") as frozen:
        await world.until(lambda: _stopped(frozen.pid), "the process froze inside its batch")
        async with world.process(folder="rocks-2", without="fencing"):
            await world.wait_for_outputs(140)
            frozen.send_signal(signal.SIGCONT)
            await world.wait_for_outputs(190)
    assert max((await world.counts()).values()) == 2


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
