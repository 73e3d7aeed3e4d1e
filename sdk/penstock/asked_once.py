"""How often ClickHouse is asked: once."""

from __future__ import annotations

from typing import Any

from clickhouse_connect.driver.httputil import get_pool_manager_options
from urllib3 import BaseHTTPResponse, PoolManager


class AskedOnce(PoolManager):
    """Connections that wait for one answer.

    clickhouse-connect has urllib3 ask a server that said nothing once more, so that a call would wait twice as
    long as it may. What it repeats by itself stays: a query on a connection that the server had closed.
    """

    @classmethod
    def made(cls) -> AskedOnce:
        return cls(**get_pool_manager_options())

    def request(self, method: str, url: str, *args: Any, **options: Any) -> BaseHTTPResponse:
        return super().request(method, url, *args, **(options | {"retries": False}))
