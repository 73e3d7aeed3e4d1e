"""The result of a SELECT, streamed: the engine writes into a pipe, so neither side ever holds it whole.

The pipe is read by threads and not by the event loop: uvloop closes the descriptor of such a transport twice, and
in between it may have become one of the engine's.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from penstock_services.embedded.clickhouse.execution import PIPE_BYTES, Execution, open_pipe
from penstock_services.embedded.clickhouse.response import summary_of


async def stream_result(execution: Execution) -> None:
    """Run a SELECT and send what it gives. Cancelling this stops the query.

    Raises:
        RuntimeError: the engine's, before or behind the first byte of the answer.
    """
    sql, statement, output_format = execution.sql, execution.statement, execution.output_format
    cut = statement.format_start if statement.format_name else statement.end
    tail = sql[cut : statement.end] if statement.format_name else b"FORMAT " + output_format.encode()
    read_end, write_end = open_pipe()
    piped = sql[:cut] + b"\nINTO OUTFILE '/proc/self/fd/%d' APPEND " % write_end + tail

    def query() -> Any:
        try:
            return execution.query(piped)
        finally:
            os.close(write_end)

    running = execution.begin(query)
    result = _Pipe(read_end, execution)
    response = execution.response
    try:
        first = await result.read()
        if len(first) < PIPE_BYTES:  # all of it: its errors and numbers still fit into the headers
            summary = summary_of(await asyncio.shield(running))
            await response.reply(first, format_name=output_format, **summary)
            return
        await response.stream(first, output_format)
        while chunk := await result.read():
            await response.stream(chunk, output_format)
        await asyncio.shield(running)
        await response.end()
    finally:
        stopping = asyncio.ensure_future(execution.stop(running))
        await result.close()  # a query that still writes fails on the closed pipe
        await asyncio.wait([stopping, running])


class _Pipe:
    """The read end of a pipe, read in threads and closed once, when none of them uses it."""

    def __init__(self, descriptor: int, execution: Execution) -> None:
        self._descriptor = descriptor
        self._execution = execution
        self._reading: asyncio.Future[bytes] | None = None

    async def read(self) -> bytes:
        """The next `PIPE_BYTES`, or fewer at the end."""
        self._reading = self._execution.begin(self._fill)
        return await asyncio.shield(self._reading)

    async def close(self) -> None:
        if self._reading is not None:
            await asyncio.wait([self._reading])
        os.close(self._descriptor)

    def _fill(self) -> bytes:
        parts: list[bytes] = []
        room = PIPE_BYTES
        while room and (part := os.read(self._descriptor, room)):
            parts.append(part)
            room -= len(part)
        return b"".join(parts)
