"""Faults of a cluster of three brokers: one of them dies, and stays away until work has gone on without it."""

from __future__ import annotations

import time
from itertools import count

from penstock_schemas import records as r
from penstock_schemas.records.executions import TerminalEvent
from tests.faults.blows import flow
from tests.faults.cluster import active_controller, until_replicated
from tests.faults.kept import Kept, until
from tests.faults.measures import BROKER_KILLED
from tests.faults.world import World

WENT_ON = 5
"""Executions admitted after a blow that must have ended before the broker may come back."""


async def kill_a_broker(world: World, times: int) -> None:
    """In turn, but never the active controller."""
    turn = count()
    for _ in range(times):
        controller = active_controller(world.folder, world.broker.cluster)
        others = [broker for broker in world.broker.cluster if broker is not controller]
        await _without(world, others[next(turn) % len(others)])
    await flow()


async def kill_the_controller(world: World, times: int) -> None:
    """The leader of the quorum, which is a broker too; the next one is killed after the next election."""
    for _ in range(times):
        await _without(world, active_controller(world.folder, world.broker.cluster))
    await flow()


async def _without(world: World, victim: Kept) -> None:
    """Kill it while everything is healthy and replicated; let it back in once the others have gone on without.

    Raises:
        TimeoutError: work stood still for as long as it was away, or it did not come back.
    """
    await until_replicated(world.kafka)
    for process in world.ours:
        await process.until_healthy()
    await flow()
    victim.hold()
    try:
        killed_s = time.time()
        await world.kill(victim, BROKER_KILLED)
        await _until_gone_on(world, killed_s)
    finally:
        victim.let_go()
    await victim.until_healthy()


async def _until_gone_on(world: World, since_s: float) -> None:
    async def gone_on() -> bool:
        await world.evidence.read_on()
        admitted, ended = set(), set()
        for read in world.evidence.reads:
            if isinstance(read.record, r.ExecutionAdmitted) and read.timestamp > since_s * 1e6:
                admitted.add(read.record.execution_id)
            elif isinstance(read.record, TerminalEvent):
                ended.add(read.record.execution_id)
        return len(admitted & ended) >= WENT_ON

    await until(gone_on, "executions admitted while the broker was away have ended")
