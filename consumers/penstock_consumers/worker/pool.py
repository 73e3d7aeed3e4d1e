"""The slots of one worker: which are free, and that the dead are replaced."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from penstock.errors import ProcessFailed
from penstock_consumers.worker.slots import Slot, SlotDied

log = logging.getLogger("penstock.worker")

START_LIMIT_S = 60.0
"""A slot imports the agent's API within this, also on a machine that is busy starting everything else."""
START_FAILURES = 5
"""Slots that fail to start this often in a row will not start at all."""


class SlotPool:
    """`size` slots, kept alive while `keep` runs.

    A claim first reserves (so that no more is asked for than can be run), then takes whichever slot is ready.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = asyncio.Semaphore(size)
        self._ready: asyncio.Queue[Slot] = asyncio.Queue()
        self._started = 0

    @property
    def started(self) -> bool:
        """Whether every slot has been ready once."""
        return self._started >= self.size

    @property
    def has_free(self) -> bool:
        """Whether a slot may be reserved now."""
        return not self._free.locked()

    async def until_free(self) -> None:
        """Wait until a slot is free, without keeping it from others."""
        async with self._free:
            pass

    async def reserve(self) -> Reservation:
        """Wait for a free slot and keep it from others."""
        await self._free.acquire()
        return Reservation(self._free)

    async def take(self) -> Slot:
        """A ready slot; the caller holds a reservation, so one is ready or on its way."""
        while not (slot := await self._ready.get()).alive:
            pass
        return slot

    async def put_back(self, slot: Slot) -> None:
        """The slot finished its attempt; it takes another once it asks for one, unless it ends instead."""
        if slot.alive:
            with suppress(SlotDied):
                await slot.until_ready()
                self._ready.put_nowait(slot)

    async def keep(self) -> None:
        """Keep all slots alive until cancelled; then kill them.

        Raises:
            ProcessFailed: slots do not start.
        """
        async with asyncio.TaskGroup() as keepers:
            for _ in range(self.size):
                keepers.create_task(self._keep_one())

    async def _keep_one(self) -> None:
        failures = 0
        while True:
            slot = await Slot.spawn()
            try:
                async with asyncio.timeout(START_LIMIT_S):
                    await slot.until_ready()
                failures = 0
                self._started += 1
                self._ready.put_nowait(slot)
                await slot.ended()
                log.warning("slot process %d ended; starting another", slot.pid)
            except (SlotDied, TimeoutError) as exc:
                failures += 1
                if failures == START_FAILURES:
                    raise ProcessFailed(f"slots do not start, {failures} times in a row: {exc}") from exc
                await asyncio.sleep(0.1 * 2**failures)
            finally:
                await slot.close()


class Reservation:
    """One reserved slot; released once, however often that is asked."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free: asyncio.Semaphore | None = free

    def release(self) -> None:
        if self._free is not None:
            self._free.release()
            self._free = None
