"""One statement on its way through the engine, and which of the three ways it takes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from penstock_services.embedded.clickhouse.body import Body
from penstock_services.embedded.clickhouse.engine import Engine
from penstock_services.embedded.clickhouse.request import Call
from penstock_services.embedded.clickhouse.response import Response, summary_of
from penstock_services.embedded.clickhouse.session import Session
from penstock_services.embedded.clickhouse.statement import Statement

DEFAULT_FORMAT = "TabSeparated"
PIPE_BYTES = 1 << 20
"""How far the engine and this process may run ahead of each other."""
KILL_PAUSE_S = 0.01
"""Between two attempts to stop a query that the engine may not have begun yet."""
T = TypeVar("T")


@dataclass(slots=True)
class Execution:
    """A statement with all it needs."""

    sql: bytes
    statement: Statement
    body: Body
    session: Session
    call: Call
    response: Response
    engine: Engine
    in_thread: Callable[..., Awaitable[Any]]
    """Runs a blocking call."""

    @property
    def output_format(self) -> str:
        return self.statement.format_name or self.call.default_format or DEFAULT_FORMAT

    def query(self, sql: bytes, output_format: str = "Null") -> Any:
        """Run `sql` in the session. Blocks; raises the engine's RuntimeError."""
        text = sql.decode("utf-8", "surrogateescape")
        return self.session.connection.query(text, output_format, params=self.call.parameters)

    def begin(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Start a blocking call. Await the future shielded: a cancelled one would hide that its thread goes on."""
        running = asyncio.ensure_future(self.in_thread(call))
        running.add_done_callback(lambda ended: ended.exception())  # a stopped query's error is nobody's to read
        return running

    async def stop(self, running: asyncio.Future[Any]) -> None:
        """Stop the query `running`; returns once the engine has been told, or it is over."""
        told = False
        while not told and not running.done():
            told = await self.in_thread(self.engine.kill, self.session.mark)
            await asyncio.wait([running], timeout=KILL_PAUSE_S)


async def run_whole(execution: Execution) -> None:
    """Any statement without a stream of rows: its answer fits into memory, and its VALUES are part of its SQL.

    Cancelling this stops it.

    Raises:
        RuntimeError: the engine's.
    """
    sql = execution.sql[: execution.statement.end]
    running = execution.begin(lambda: execution.query(sql, execution.output_format))
    try:
        result = await asyncio.shield(running)
    finally:
        await execution.stop(running)
        await asyncio.wait([running])
    if execution.statement.kind == "USE":
        await execution.in_thread(execution.session.note_use)
    elif execution.statement.kind == "SET":
        await execution.in_thread(execution.session.note_set)
    rows = result.bytes()
    await execution.response.reply(
        rows, format_name=execution.output_format if rows else None, **summary_of(result)
    )


def open_pipe() -> tuple[int, int]:
    """A pipe that the engine can open as `/proc/self/fd/N`: read end, write end."""
    read_end, write_end = os.pipe()
    with contextlib.suppress(OSError):  # above the system's limit: smaller and slower, nothing else
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return read_end, write_end
