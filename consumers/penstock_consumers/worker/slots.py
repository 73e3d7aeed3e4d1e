"""The supervisor's side of one slot process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

import msgspec

from penstock.errors import RetryableAgentError
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
        with ours, theirs:
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
            # From here the slot lives as long as this connection: it ends itself when that is closed.
            reader, writer = await asyncio.open_unix_connection(sock=ours.dup())
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
