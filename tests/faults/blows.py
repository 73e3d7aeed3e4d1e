"""What is done to a world while the load flows: each function strikes a number of times."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from itertools import cycle, islice

from tests.faults.kept import Kept
from tests.faults.world import HOLD_S, SESSION_S, World

Inject = Callable[[World, int], Awaitable[None]]
"""Does the fault `times` times."""
Strike = Callable[[Kept], Awaitable[None]]

CUT_S = 20.0
RUNS_FOR_S = 1.5
"""The load flows this long before and after each blow, so that there is something to lose."""
TRANSACTION_STEPS = ("begun", "flushed", "checked", "before_commit")
ALL_STEPS = ("folded", *TRANSACTION_STEPS, "committed", "applied")
BATCHES_BEFORE = 25
"""Batches an armed process completes first: it has taken over everything and the load is in them."""


BATCH_OF_BACKLOG = 4
"""The first one sets the process's clock. One of the next holds much of what came in a pause, so that repeating it
shows."""


async def flow() -> None:
    await asyncio.sleep(RUNS_FOR_S)  # the load's time, not a wait for a condition


async def strike_in_turn(processes: list[Kept], times: int, strike: Strike) -> None:
    """Strike the processes in turn, each only when all are healthy."""
    for victim in islice(cycle(processes), times):
        for process in processes:
            await process.until_healthy()
        await flow()
        await strike(victim)
    await flow()


async def worker_blows(world: World, victims: list[Kept], times: int, strike: Strike) -> None:
    async def strike_busy(victim: Kept) -> None:
        await world.until_busy(victim)
        await strike(victim)

    await strike_in_turn(victims, times, strike_busy)


async def kill_workers(world: World, times: int) -> None:
    await worker_blows(world, world.workers, times, world.kill)


async def kill_streams(world: World, times: int) -> None:
    await strike_in_turn(world.streams, times, world.kill)


async def kill_loaders(world: World, times: int) -> None:
    await strike_in_turn(world.loaders, times, world.kill)


async def freeze_workers(world: World, times: int) -> None:
    """Beyond the lease, and long enough for the next attempt to have begun."""
    await worker_blows(world, world.workers, times, lambda victim: world.freeze(victim, HOLD_S + 4))


async def freeze_streams(world: World, times: int) -> None:
    await strike_in_turn(world.streams, times, lambda victim: world.freeze(victim, SESSION_S + 4))


async def freeze_streams_in_transaction(world: World, times: int) -> None:
    """A process stops itself at a step of its commit order and wakes up after the other one has taken over."""
    for number, step in enumerate(islice(cycle(TRANSACTION_STEPS), times)):
        await freeze_at(world, world.streams[number % len(world.streams)], step)


async def freeze_at(world: World, victim: Kept, step: str) -> None:
    for process in world.streams:
        await process.until_healthy()
    await world.restart_armed(victim, f"{step}:{BATCHES_BEFORE}:SIGSTOP")
    await _thaw_after_takeover(world, victim, step)


async def _thaw_after_takeover(world: World, victim: Kept, step: str) -> None:
    await victim.until_frozen()
    world.mark(f"frozen at {step}", victim)
    await asyncio.sleep(SESSION_S + 4)  # the length of the fault
    world.mark("thawed", victim, victim.send(signal.SIGCONT))
    await victim.until_healthy()
    await flow()


async def kill_streams_at_each_step(world: World, times: int) -> None:
    for number, step in enumerate(islice(cycle(ALL_STEPS), times)):
        await kill_at(world, world.streams[number % len(world.streams)], step)
    await flow()


async def kill_at(world: World, victim: Kept, step: str) -> None:
    for process in world.streams:
        await process.until_healthy()
    await world.restart_armed(victim, f"{step}:{BATCHES_BEFORE}")
    await victim.until_ended(len(victim.exits) + 1)
    world.mark(f"killed at {step}", victim)


async def restart_everything(world: World, times: int) -> None:
    """SIGTERM to one process after the other, each when its predecessor's successor is healthy."""
    await flow()
    for _ in range(times):
        for process in world.ours:
            if process in world.workers:
                await world.until_busy(process)
            await world.terminate(process)
    await flow()


async def storm_of_rebalances(world: World, times: int) -> None:
    """Streams processes join and leave, and one that joins is killed, while partitions are still moving."""
    for number in range(times):
        await flow()
        guests = [world.process("streams", f"guest-{number}-{n}") for n in range(2)]
        try:
            await asyncio.gather(*(guest.start() for guest in guests))
            world.mark("joined", guests[0])
            await world.kill(guests[1])
        finally:
            await asyncio.gather(*(guest.leave() for guest in guests))
        world.mark("left", guests[0])
    await flow()


async def restart_broker(world: World, times: int) -> None:
    for _ in range(times):
        await flow()
        await world.kill(world.broker.kept)
        await world.broker.kept.until_healthy()
        world.mark("broker is back", world.broker.kept)
        for process in world.ours:
            await process.until_healthy()
    await flow()


async def take_clickhouse_away(world: World, times: int, away_s: float = 8.0) -> None:
    """With a loader killed meanwhile: it holds a batch that it cannot insert."""
    clickhouse, (loader,) = world.clickhouse_engine, world.loaders
    for _ in range(times):
        await flow()
        clickhouse.hold()
        await world.kill(clickhouse)
        await asyncio.sleep(away_s / 2)  # the length of the fault
        await world.kill(loader)
        await asyncio.sleep(away_s / 2)
        clickhouse.let_go()
        await clickhouse.until_healthy()
        world.mark("ClickHouse is back", clickhouse)
        await loader.until_healthy()
    await flow()


async def cut_a_worker_off(world: World, times: int) -> None:
    await worker_blows(world, world.workers[1:], times, lambda victim: world.cut_off(victim, CUT_S))


async def cut_a_streams_process_off(world: World, times: int) -> None:
    await strike_in_turn(world.streams[1:], times, lambda victim: world.cut_off(victim, CUT_S))


async def kill_after_commit(world: World, times: int) -> None:
    """Between the commit of a batch and its application to the local store, which is then one batch behind."""
    for _ in range(times):
        await flow()
        (victim,) = world.streams
        await world.restart_armed_with_backlog(victim, f"committed:{BATCH_OF_BACKLOG}")
        await victim.until_ended(len(victim.exits) + 1)
    await flow()


async def freeze_before_begin(world: World, times: int) -> None:
    """With a batch decided and nothing of it sent: what is fenced is all that keeps it from being sent later."""
    for _ in range(times):
        await flow()
        victim = world.streams[0]
        await world.restart_armed_with_backlog(victim, f"begun:{BATCH_OF_BACKLOG}:SIGSTOP")
        await _thaw_after_takeover(world, victim, "begun")
