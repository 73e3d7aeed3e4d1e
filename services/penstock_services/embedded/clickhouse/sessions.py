"""The kept sessions of this process, and passing ones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from penstock_services.embedded.clickhouse.access import Account
from penstock_services.embedded.clickhouse.engine import Engine
from penstock_services.embedded.clickhouse.errors import SESSION_IS_LOCKED, SESSION_NOT_FOUND, ClickHouseError
from penstock_services.embedded.clickhouse.request import Call
from penstock_services.embedded.clickhouse.session import Session

LOCK_WAIT_S = 0.5
"""A response reaches the client a moment before its session is free for the next request."""


class Sessions:
    """The sessions of this process, by id. Used on the event loop only.

    Args:
        in_thread: runs a blocking call.
    """

    def __init__(self, engine: Engine, in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._engine = engine
        self._in_thread = in_thread
        self._kept: dict[tuple[str, str], Session] = {}

    @contextlib.asynccontextmanager
    async def borrow(self, call: Call, account: Account) -> AsyncIterator[Session]:
        """The session that the call names, held for one request; a passing one where it names none.

        Raises:
            ClickHouseError: held by another request, or not there although it must be.
        """
        await self._close_expired()
        session_id, timeout_s = call.session_id, call.session_timeout_s
        if not session_id:
            session = await self._in_thread(Session, self._engine, account.readonly, False)
            try:
                yield session
            finally:
                await self._in_thread(session.close)
            return
        session = self._kept.get((account.name, session_id))
        if session is None:
            if call.session_must_exist:
                raise ClickHouseError(SESSION_NOT_FOUND, f"Session {session_id!r} not found")
            opened = await self._in_thread(Session, self._engine, account.readonly, True)
            session = self._kept.setdefault((account.name, session_id), opened)
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
        for key in list(self._kept):
            await self._in_thread(self._kept.pop(key).close)

    async def _close_expired(self) -> None:
        now = time.monotonic()
        expired = [
            key for key, s in self._kept.items() if s.expires_at and s.expires_at < now and not s.lock.locked()
        ]
        for session in [self._kept.pop(key) for key in expired]:
            await self._in_thread(session.close)
