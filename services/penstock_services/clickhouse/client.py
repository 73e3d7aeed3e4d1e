"""A connection to ClickHouse by the ordinary HTTP client; the same for the embedded engine and a real server."""

from __future__ import annotations

import time

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from penstock.errors import ClickHouseUnreachable
from penstock.settings import ClickHouseSettings

RETRY_PAUSE_S = 0.2
_AUTHENTICATION_FAILED = 516


def connect(settings: ClickHouseSettings, *, deadline_s: float = 10.0, database: str | None = None) -> Client:
    """Connect, trying again until the server answers or `deadline_s` seconds have passed.

    The client has no session, so one client may serve several threads, and a restarted server changes nothing.

    Args:
        database: instead of that of the settings; "" for none.

    Raises:
        ClickHouseUnreachable: no answer in time, or the server refuses the login.
    """
    give_up_at = time.monotonic() + deadline_s
    while True:
        try:
            return clickhouse_connect.get_client(
                host=settings.host,
                port=settings.port,
                username=settings.user,
                password=settings.password.get_secret_value(),
                database=settings.database if database is None else database,
                secure=settings.secure,
                autogenerate_session_id=False,
                connect_timeout=5,
            )
        except (ClickHouseError, OSError) as exc:
            refused = isinstance(exc, DatabaseError) and exc.code == _AUTHENTICATION_FAILED
            if refused or time.monotonic() >= give_up_at:
                raise unreachable(settings, exc) from exc
            time.sleep(RETRY_PAUSE_S)


def unreachable(settings: ClickHouseSettings, cause: BaseException) -> ClickHouseUnreachable:
    """The typed error for a `cause` met while talking to the server of `settings`."""
    first_line = (str(cause).splitlines() or [type(cause).__name__])[0]
    return ClickHouseUnreachable(
        f"ClickHouse at {settings.host}:{settings.port} did not do what was asked ({first_line[:300]}); "
        "check PENSTOCK_CLICKHOUSE_HOST, _PORT and _PASSWORD and that it runs"
    )
