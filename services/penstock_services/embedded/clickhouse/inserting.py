"""The rows of an INSERT, streamed: the engine reads them out of a pipe with `FROM INFILE`.

chdb's own `send_insert` is not used: an error behind the parser (a constraint, a materialized column or view) is
lost there, and rows that were never written count as written. A test holds this against it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from penstock_services.embedded.clickhouse.body import Body
from penstock_services.embedded.clickhouse.execution import PIPE_BYTES, Execution, open_pipe
from penstock_services.embedded.clickhouse.response import summary_of


async def stream_rows(execution: Execution) -> None:
    """Run an INSERT whose rows are the request's body. Cancelling this stops it.

    Commit order, and what a crash costs:
    1. feed the body to the engine and close the pipe. A crash before 2 leaves some blocks written, or none.
    2. the engine returns: every row is in a part. A crash here costs the client its answer; it will repeat.
    3. answer. A client that has its answer has its rows.

    Raises:
        RuntimeError: the engine's.
        ClickHouseError: the body is damaged or ends early; nothing more is written.
    """
    await execution.in_thread(execution.session.set_parameters, execution.call.parameters)
    sql, statement = execution.sql, execution.statement
    read_end, write_end = open_pipe()
    source = b" FROM INFILE '/proc/self/fd/%d' " % read_end
    piped = sql[: statement.clauses_start] + source + sql[statement.clauses_start : statement.data_start]

    def query() -> Any:
        try:
            return execution.query(piped)
        finally:
            os.close(read_end)  # the last one, so that a writer that still waits is let go

    running = execution.begin(query)
    writing: asyncio.Future[None] | None = None
    try:
        async for block in _blocks(execution.body):
            writing = execution.begin(partial(_write_all, write_end, block))
            await asyncio.shield(writing)
    except BrokenPipeError:
        pass  # the engine has given up; `running` says why
    except BaseException:
        # Before the pipe is closed: the engine would take its end for the end of the rows.
        await execution.stop(running)
        raise
    finally:
        if writing is not None:
            await asyncio.wait([writing])
        os.close(write_end)
        await asyncio.wait([running])
    summary = summary_of(await running)
    await execution.response.reply(
        b"", written_rows=summary["written_rows"], written_bytes=summary["written_bytes"]
    )


def _write_all(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


async def _blocks(body: Body) -> AsyncIterator[bytes]:
    """The body in pieces that are worth a thread's turn."""
    parts: list[bytes] = []
    held = 0
    async for chunk in body.chunks():
        parts.append(chunk)
        held += len(chunk)
        if held >= PIPE_BYTES:
            yield b"".join(parts)
            parts, held = [], 0
    if parts:
        yield b"".join(parts)
