"""Running one statement in a session: a streamed SELECT, a streamed INSERT, or anything else as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from penstock_services.embedded.clickhouse.body import Body
from penstock_services.embedded.clickhouse.errors import EngineError
from penstock_services.embedded.clickhouse.request import Call
from penstock_services.embedded.clickhouse.response import Response, summary_of
from penstock_services.embedded.clickhouse.session import Session
from penstock_services.embedded.clickhouse.statement import STREAMED, Statement

PIPE_BYTES = 1 << 20
"""How far the engine may run ahead of a slow client, with as much again in this process."""
INSERT_CHUNK_BYTES = 1 << 20
DEFAULT_FORMAT = "TabSeparated"
InThread = Callable[..., Awaitable[Any]]


async def run_statement(
    sql: bytes,
    statement: Statement,
    body: Body,
    session: Session,
    call: Call,
    response: Response,
    in_thread: InThread,
) -> None:
    """Run `sql` and answer it.

    Raises:
        ClickHouseError: the engine refused it or gave up, before or behind the first byte of the answer.
    """
    output_format = statement.format_name or call.default_format or DEFAULT_FORMAT
    try:
        if statement.carries_data:
            await in_thread(session.set_parameters, call.parameters)
            await _insert(sql, statement, body, session, response, in_thread)
        elif statement.kind in STREAMED:
            await _select(sql, statement, output_format, session, call, response, in_thread)
        else:
            text = sql[: statement.end].decode("utf-8", "surrogateescape")
            result = await in_thread(session.connection.query, text, output_format, params=call.parameters)
            if statement.kind == "USE":
                await in_thread(session.note_use)
            rows = result.bytes()
            await response.reply(rows, format_name=output_format if rows else None, **summary_of(result))
    except RuntimeError as exc:
        raise EngineError(exc) from exc


async def _insert(
    sql: bytes, statement: Statement, body: Body, session: Session, response: Response, in_thread: InThread
) -> None:
    """Stream the body into the engine. Only `finish` writes the last rows, and only after it is the answer sent:
    a client that has its answer has its rows in a part on disk.
    """
    head = sql[: statement.format_start].decode("utf-8", "surrogateescape")
    inserter = await in_thread(session.connection.send_insert, head, statement.format_name)
    try:
        async for block in _blocks(body, INSERT_CHUNK_BYTES):
            await in_thread(inserter.append, block)
        result = await in_thread(inserter.finish)
    except BaseException:
        with contextlib.suppress(RuntimeError):
            await in_thread(inserter.cancel)
        raise
    await response.reply(b"", written_rows=result.rows_written, written_bytes=result.bytes_written)


async def _blocks(body: Body, size: int) -> AsyncIterator[bytes]:
    parts: list[bytes] = []
    held = 0
    async for chunk in body.chunks():
        parts.append(chunk)
        held += len(chunk)
        if held >= size:
            yield b"".join(parts)
            parts, held = [], 0
    if parts:
        yield b"".join(parts)


async def _select(
    sql: bytes,
    statement: Statement,
    output_format: str,
    session: Session,
    call: Call,
    response: Response,
    in_thread: InThread,
) -> None:
    """The engine writes the result into a pipe (INTO OUTFILE), so neither side ever holds it whole."""
    cut = statement.format_start if statement.format_name else statement.end
    tail = sql[cut : statement.end] if statement.format_name else b"FORMAT " + output_format.encode()
    read_end, write_end = os.pipe()
    with contextlib.suppress(OSError):  # above the system's limit: smaller and slower, nothing else
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    piped = sql[:cut] + b"\nINTO OUTFILE '/proc/self/fd/%d' APPEND " % write_end + tail

    def query() -> Any:
        try:
            return session.connection.query(
                piped.decode("utf-8", "surrogateescape"), "Null", params=call.parameters
            )
        finally:
            os.close(write_end)

    running = asyncio.ensure_future(in_thread(query))
    reader, transport = await _reader(read_end)
    try:
        first = await _fill(reader, PIPE_BYTES)
        if len(first) < PIPE_BYTES:  # all of it: its errors and numbers still fit into the headers
            result = await running
            await response.reply(first, format_name=output_format, **summary_of(result))
            return
        await response.stream(first, output_format)
        while chunk := await reader.read(PIPE_BYTES):
            await response.stream(chunk, output_format)
        await running
        await response.end()
    finally:
        transport.close()  # a query that still writes fails on the closed pipe
        await asyncio.wait([running])


async def _reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader(limit=PIPE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader, transport


async def _fill(reader: asyncio.StreamReader, size: int) -> bytes:
    parts: list[bytes] = []
    held = 0
    while held < size and (chunk := await reader.read(size)):
        parts.append(chunk)
        held += len(chunk)
    return b"".join(parts)
