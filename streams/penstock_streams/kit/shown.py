"""The group's committed offsets, which only show others how far the tasks are: the position row is the truth.

The first transaction of a task that reads a topic carries its offset, because to a later owner it says that the
topic was read (`positions.starting_position`). After that one ordinary commit a second shows all tasks of the
process: in every transaction they would be two of its five requests, and a marker (decision 0017).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka import TopicPartition

log = logging.getLogger("penstock.streams")

SHOWN_EVERY_S = 1.0
Offsets = Mapping[TopicPartition, int]


async def show(positions: Callable[[], Iterable[Offsets]], commit: Callable[[Offsets], Awaitable[None]]) -> None:
    """Commit what has changed, again and again, until cancelled. What fails is shown the next time.

    Args:
        positions: the next offset of each partition, by task.
        commit: as a member of the group; raises any error.
    """
    shown: dict[TopicPartition, int] = {}
    while True:
        await asyncio.sleep(SHOWN_EVERY_S)
        now = {partition: at for offsets in positions() for partition, at in offsets.items()}
        changed = {partition: at for partition, at in now.items() if shown.get(partition) != at}
        if not changed:
            continue
        try:
            await commit(changed)
        except Exception as exc:  # a rebalance, or the broker is away
            log.info("offsets of %d partitions are not shown yet: %r", len(changed), exc)
        else:
            shown = now
