"""pytest plugin: `get_client()` without arguments reaches the server of `CLICKHOUSE_CONNECT_TEST_*`."""

from __future__ import annotations

import os
from functools import partial

import clickhouse_connect


def pytest_configure() -> None:
    clickhouse_connect.get_client = partial(
        clickhouse_connect.get_client,
        host=os.environ["CLICKHOUSE_CONNECT_TEST_HOST"],
        port=int(os.environ["CLICKHOUSE_CONNECT_TEST_PORT"]),
        password=os.environ["CLICKHOUSE_CONNECT_TEST_PASSWORD"],
    )
