"""Faults of what a process stands on: its machine's clocks, its disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice

from tests.faults.blows import flow, freeze_workers
from tests.faults.kept import Kept
from tests.faults.mounts import fill, small_disk
from tests.faults.skew import Clocks
from tests.faults.world import World

AHEAD, BEHIND = Clocks(600.0, 1.05), Clocks(-600.0, 0.95)
"""Ten minutes, which is beyond every lease, and one in twenty: several hundred times what a quartz is off."""
DAYS_AHEAD = Clocks(40 * 86_400.0)
"""In another accounting month, whatever the day."""
TOGETHER = "killed together"
"""Another mark: leases wait for the new owner's grace too, so this take-over is no measure of one."""
FULL_S = 4.0
"""How long a disk stays full."""


async def wrong_worker_clocks(world: World, times: int) -> None:
    """Workers stopped beyond their leases, first one whose clock is too slow to notice in time."""
    async with _clocks(world, world.workers, (BEHIND, AHEAD)):
        await freeze_workers(world, times)


async def worker_clocks_days_ahead(world: World, times: int) -> None:
    """What is used is reported as used next month."""
    for _ in range(times):
        async with _clocks(world, world.workers, (DAYS_AHEAD, DAYS_AHEAD)):
            for worker in world.workers:
                await world.until_busy(worker)
            world.mark("clocks are ahead", world.workers[0])
            await flow()


async def wrong_streams_clocks(world: World, times: int) -> None:
    """The leases of a dead worker move to a process whose clock is twenty minutes away."""
    async with _clocks(world, world.streams, (AHEAD, BEHIND)):
        for number, victim in enumerate(islice(cycle(world.streams), times)):
            for process in world.ours:
                await process.until_healthy()
            worker = world.workers[number % len(world.workers)]
            await flow()
            await world.until_busy(worker)
            await world.kill(worker, TOGETHER)
            await world.kill(victim, TOGETHER)
        await flow()


async def fill_a_workers_disk(world: World, times: int) -> None:
    """In the middle of an attempt that goes on writing; there is room again a few seconds later."""
    victim = world.workers[0]
    with small_disk(world.folder / "small-disk") as disk:
        await world.restart_with(victim, TMPDIR=str(disk))
        try:
            for _ in range(times):
                await flow()
                await world.until_busy(victim)
                full = fill(disk)
                world.mark("disk is full", victim)
                await asyncio.sleep(FULL_S)  # the length of the fault
                full.unlink()
                world.mark("there is room", victim)
                await victim.until_healthy()
            await flow()
        finally:
            await world.restart_with(victim, TMPDIR="")


@asynccontextmanager
async def _clocks(world: World, processes: Sequence[Kept], clocks: Sequence[Clocks]) -> AsyncIterator[None]:
    """Wrong while the body runs."""

    async def restart(each: Sequence[Clocks]) -> None:
        pairs = zip(processes, each, strict=True)
        await asyncio.gather(*(world.restart_with(process, **its.environment()) for process, its in pairs))

    await restart(clocks)
    try:
        yield
    finally:
        await restart([Clocks()] * len(processes))
