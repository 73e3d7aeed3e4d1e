"""The ASGI application: `/ping`, and `/` for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from penstock_services.embedded.clickhouse.access import Account, authenticate, check_readonly, readonly_level
from penstock_services.embedded.clickhouse.body import Body, Form, Receive
from penstock_services.embedded.clickhouse.engine import Engine
from penstock_services.embedded.clickhouse.errors import (
    ABORTED,
    READONLY,
    ClickHouseError,
    EngineError,
)
from penstock_services.embedded.clickhouse.execution import Execution, run_whole
from penstock_services.embedded.clickhouse.external import ExternalTable, external_tables
from penstock_services.embedded.clickhouse.guard import KINDS_OF_GET
from penstock_services.embedded.clickhouse.incoming import read_statement
from penstock_services.embedded.clickhouse.inserting import stream_rows
from penstock_services.embedded.clickhouse.request import Call
from penstock_services.embedded.clickhouse.response import Response, Send
from penstock_services.embedded.clickhouse.selecting import stream_result
from penstock_services.embedded.clickhouse.session import Session
from penstock_services.embedded.clickhouse.sessions import Sessions
from penstock_services.embedded.clickhouse.statement import STREAMED, Statement

log = logging.getLogger("penstock.clickhouse")
STATEMENTS = 32
"""In flight; more wait their turn."""
THREADS_OF_A_STATEMENT = 3
"""One in the engine, one at its pipe, one to stop it: with fewer threads they would wait for each other."""
T = TypeVar("T")


class App:
    """The HTTP interface over one engine.

    Args:
        accounts: who may ask.
    """

    def __init__(self, engine: Engine, accounts: Sequence[Account]) -> None:
        self._engine = engine
        self._accounts = {account.name: account for account in accounts}
        self._threads = ThreadPoolExecutor(STATEMENTS * THREADS_OF_A_STATEMENT, "clickhouse")
        self._turns = asyncio.Semaphore(STATEMENTS)
        self._sessions = Sessions(engine, self._in_thread)
        self._in_flight: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/ping":
            await _plain(send, 200, b"Ok.\n", scope["method"])
        elif path != "/":
            await _plain(
                send, 404, b"There is no such handle; use / for queries and /ping for health.\n", scope["method"]
            )
        elif scope["method"] in ("GET", "HEAD") and b"query=" not in scope["query_string"]:
            await _plain(send, 200, b"Ok.\n", scope["method"])
        else:
            await self._answer(scope, receive, send)

    async def close(self) -> None:
        """Stop what still runs and close every session. The engine stays open."""
        for running in self._in_flight:
            running.cancel()
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        await self._sessions.close()
        self._threads.shutdown()

    async def _answer(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        call = Call(scope["method"], {}, {})
        response = self._response(send, call)
        try:
            call = Call.of(scope)
            response = self._response(send, call)
            account = authenticate(call, self._accounts)
            body = Body(receive, call.headers.get("content-encoding", ""))
            await self._until_client_goes(self._execute(call, account, body, response), body)
        except ClickHouseError as exc:
            await response.fail(exc)
        except asyncio.CancelledError:  # by the HTTP server, when SIGTERM's grace is over
            await response.fail(ClickHouseError(ABORTED, "the server is stopping"))
        except Exception as exc:
            log.exception("request %s failed", call.query_id)
            await response.fail(EngineError(exc))

    async def _execute(self, call: Call, account: Account, body: Body, response: Response) -> None:
        form = Form({}, {})
        if call.headers.get("content-type", "").startswith("multipart/form-data"):
            form = await body.form(call.headers["content-type"])
        call.params.update(form.fields)
        tables = external_tables(call, form.files, self._engine.guard)
        sql, statement = await read_statement(call, body)
        self._engine.guard.check(statement)
        if call.reads_only and statement.kind not in KINDS_OF_GET:
            raise ClickHouseError(READONLY, f"GET implies readonly; send {statement.kind} with POST")
        async with self._turns, self._sessions.borrow(call, account) as session:
            readonly = readonly_level(call, session.readonly)
            check_readonly(statement, readonly)
            try:
                await self._in_thread(session.prepare, call.settings, call.database, call.query_id)
                async with self._beside(tables, session):
                    if not session.kept:
                        await self._in_thread(session.freeze, readonly)
                    running = Execution(
                        sql, statement, body, session, call, response, self._engine, self._in_thread
                    )
                    await _way_of(statement)(running)
            except RuntimeError as exc:
                raise EngineError(exc) from exc

    @contextlib.asynccontextmanager
    async def _beside(self, tables: Sequence[ExternalTable], session: Session) -> AsyncIterator[None]:
        """External tables are there inside; a passing session takes them with it."""
        made: list[ExternalTable] = []
        try:
            for table in tables:
                await self._in_thread(table.create, session)
                made.append(table)
            yield
        finally:
            for table in made if session.kept else ():
                await self._in_thread(table.drop, session)

    async def _until_client_goes(self, work: Awaitable[None], body: Body) -> None:
        """Run `work`; a client that goes away has its query stopped."""
        running, gone = asyncio.ensure_future(work), asyncio.ensure_future(body.client_gone())
        self._in_flight.add(running)
        running.add_done_callback(self._in_flight.discard)
        try:
            await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                running.cancel()
                await asyncio.wait((running,))
            if not running.cancelled():
                running.result()
        finally:
            gone.cancel()

    def _response(self, send: Send, call: Call) -> Response:
        return Response(send, call, version=self._engine.version, timezone=self._engine.timezone)

    async def _in_thread(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The result of a blocking call. Cancelled, it waits for its end: until then it uses the session."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


def _way_of(statement: Statement) -> Callable[[Execution], Awaitable[None]]:
    if statement.carries_data:
        return stream_rows
    return stream_result if statement.kind in STREAMED else run_whole


async def _plain(send: Send, status: int, text: bytes, method: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=UTF-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else text})
