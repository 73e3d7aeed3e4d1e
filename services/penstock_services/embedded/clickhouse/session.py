"""A connection with its settings and current database; kept under a session id, or for one request only."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from penstock_services.embedded.clickhouse.engine import DATABASE, Engine, quote
from penstock_services.embedded.clickhouse.errors import (
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    UNKNOWN_SETTING,
    ClickHouseError,
)

LOCK_WAIT_S = 0.5
"""A response reaches the client a moment before its session is free for the next request."""
DEFAULT_TIMEOUT_S = 60.0
"""As on the real server (default_session_timeout)."""
SETTINGS = {
    "implicit_select": "0",  # `1 + 1` alone is no query over HTTP
    "http_max_tries": "2",  # a dead address is not tried ten times
    "output_format_parallel_formatting": "0",  # 400 MB of result: 13 to 130 MB of memory, not 530, and faster
    "min_insert_block_size_bytes": str(32 << 20),  # 1.6 GB inserted: 350 MB of memory, not 2.3 GB
    "max_insert_block_size_bytes": str(32 << 20),
}
"""What differs from the engine's own defaults; a request may set it otherwise."""


class Session:
    """One chdb connection. Its methods block."""

    def __init__(self, engine: Engine) -> None:
        self.connection: Any = engine.connect()
        self.lock = asyncio.Lock()
        self.expires_at = 0.0
        self._applied: dict[str, str] = {}
        self._database = ""
        self.chosen_database: str | None = None
        """What `USE` chose in this session."""

    def prepare(self, settings: Mapping[str, str], database: str | None) -> None:
        """Make `settings` and `database` those of the next statement; settings of the last one are taken back."""
        wanted = {**SETTINGS, **settings}
        for name in settings:
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting {name[:80]!r}")
        changes = [
            f"{name} = {quote(value)}" for name, value in wanted.items() if self._applied.get(name) != value
        ]
        changes += [f"{name} = DEFAULT" for name in self._applied if name not in wanted]
        if changes:
            self.run("SET " + ", ".join(changes))
            self._applied = wanted
        database = database or self.chosen_database or DATABASE
        if database != self._database:
            escaped = database.replace("\\", "\\\\").replace("`", "\\`")
            self.run(f"USE `{escaped}`")
            self._database = database

    def note_use(self) -> None:
        """Remember what a `USE` statement chose."""
        self.chosen_database = self._database = (
            self.connection.query("SELECT currentDatabase()", "TSVRaw").bytes().decode().rstrip("\n")
        )

    def set_parameters(self, parameters: Mapping[str, str]) -> None:
        """Query parameters of an INSERT, which the engine takes only as settings."""
        if parameters:
            self.run("SET " + ", ".join(f"param_{name} = {quote(value)}" for name, value in parameters.items()))

    def run(self, sql: str) -> None:
        self.connection.query(sql, "Null")

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.connection.close()


class Sessions:
    """The sessions of this process, by id. Used on the event loop only.

    Args:
        in_thread: runs a blocking call.
    """

    def __init__(self, engine: Engine, in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._engine = engine
        self._in_thread = in_thread
        self._kept: dict[str, Session] = {}

    @contextlib.asynccontextmanager
    async def borrow(self, session_id: str | None, timeout_s: float, must_exist: bool) -> AsyncIterator[Session]:
        """The session `session_id`, held for one request; a passing one without an id.

        Raises:
            ClickHouseError: held by another request, or not there although it must be.
        """
        await self._close_expired()
        if not session_id:
            session = await self._in_thread(Session, self._engine)
            try:
                yield session
            finally:
                await self._in_thread(session.close)
            return
        session = self._kept.get(session_id)
        if session is None:
            if must_exist:
                raise ClickHouseError(SESSION_NOT_FOUND, f"Session {session_id!r} not found")
            opened = await self._in_thread(Session, self._engine)
            session = self._kept.setdefault(session_id, opened)
            if session is not opened:
                await self._in_thread(opened.close)
        try:
            await asyncio.wait_for(session.lock.acquire(), LOCK_WAIT_S)
        except TimeoutError:
            raise ClickHouseError(
                SESSION_IS_LOCKED, f"Session {session_id!r} is locked by a concurrent client"
            ) from None
        try:
            yield session
        finally:
            session.expires_at = time.monotonic() + timeout_s
            session.lock.release()

    async def close(self) -> None:
        """Close every session."""
        for session_id in list(self._kept):
            await self._in_thread(self._kept.pop(session_id).close)

    async def _close_expired(self) -> None:
        now = time.monotonic()
        expired = [
            key for key, s in self._kept.items() if s.expires_at and s.expires_at < now and not s.lock.locked()
        ]
        for session in [self._kept.pop(key) for key in expired]:
            await self._in_thread(session.close)
