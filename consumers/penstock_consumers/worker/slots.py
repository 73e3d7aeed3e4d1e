"""The supervisor's side of the slots: start them, run attempts on them, replace those that die."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress

import msgspec

from penstock.errors import ProcessFailed, RetryableAgentError
from penstock_consumers.worker.sessions import kill_session
from penstock_consumers.worker.wire import (
    LENGTH_BYTES,
    Ended,
    FrameTooLong,
    FromSlot,
    Ready,
    Reported,
    ToSlot,
    body_length,
    frame,
    from_slot,
)

log = logging.getLogger("penstock.worker")

START_LIMIT_S = 60.0
"""A slot imports the agent's API within this, also on a machine that is busy starting everything else."""
START_FAILURES = 5
"""Slots that fail to start this often in a row will not start at all."""


class SlotDied(RetryableAgentError):
    """The slot process ended in the middle of a run: killed, out of memory, or ended by the agent itself."""


class Slot:
    """One slot process."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.pid = process.pid
        self._killed = False

    @classmethod
    async def spawn(cls) -> Slot:
        """Start the process; it is usable after `until_ready`."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "penstock_consumers.worker.slot",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,  # whatever an agent prints belongs into the log
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def alive(self) -> bool:
        return not self._killed and self._process.returncode is None

    async def until_ready(self) -> None:
        """Until the slot asks for an attempt.

        Raises:
            SlotDied: it ended first.
        """
        while not isinstance(await self._receive(), Ready):
            pass

    async def next_report(self) -> Reported | Ended:
        """What the started run says next; `Ended` is the last.

        Raises:
            SlotDied: the process ended first; everything it reported before was returned.
        """
        message = await self._receive()
        if isinstance(message, Ready):
            self.kill()
            raise SlotDied(f"slot process {self.pid} asked for work in the middle of a run and was killed")
        return message

    def send(self, message: ToSlot) -> None:
        """Say something to the slot; a dead one hears nothing."""
        if not self._writer.is_closing():
            self._writer.write(frame(message))

    def kill(self) -> None:
        """SIGKILL the slot. What it reported before can still be read. Its children die in `ended`."""
        if self.alive:
            self._killed = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Wait for the process to end, then kill whatever it left behind."""
        await self._process.wait()
        kill_session(self.pid)

    async def close(self) -> None:
        """Kill it if it still runs, and let go of everything."""
        self.kill()
        await self.ended()
        self._writer.close()

    async def _receive(self) -> FromSlot:
        try:
            length = body_length(await self._reader.readexactly(LENGTH_BYTES))
            return from_slot(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError) as exc:
            status = await self._process.wait()
            raise SlotDied(
                f"slot process {self.pid} ended with status {status} in the middle of its work"
            ) from exc
        except (FrameTooLong, msgspec.DecodeError) as exc:
            self.kill()
            raise SlotDied(f"slot process {self.pid} sent what is no message ({exc}) and was killed") from exc


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
