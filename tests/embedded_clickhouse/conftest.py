"""Clients of the suite's ClickHouse, bound to the test's own database."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import clickhouse_connect
import pytest

from penstock.settings import ClickHouseSettings

Connect = Callable[..., Any]
Curl = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def connect(clickhouse_database: ClickHouseSettings) -> Iterator[Connect]:
    """Opens clickhouse-connect clients as any service would; closed after the test."""
    opened: list[Any] = []

    def open_client(**options: Any) -> Any:
        settings = clickhouse_database
        given = {"username": settings.user, "password": settings.password.get_secret_value()}
        given |= {"database": settings.database, **options}
        client = clickhouse_connect.get_client(host=settings.host, port=settings.port, **given)
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture
def client(connect: Connect) -> Any:
    return connect()


@pytest.fixture
def curl(clickhouse_database: ClickHouseSettings) -> Curl:
    """`curl(query_string, *arguments) -> (status, headers, body)`, as the user `default`."""
    settings = clickhouse_database
    base = f"http://{settings.host}:{settings.port}/?database={settings.database}"

    def run(query_string: str, *arguments: str, login: bool = True) -> tuple[int, dict[str, str], bytes]:
        credentials = ["-u", f"default:{settings.password.get_secret_value()}"] if login else []
        command = ["curl", "-sS", "-D", "-", "-H", "Expect:", *credentials, *arguments, f"{base}&{query_string}"]
        raw = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        return int(first.split()[1]), headers, body

    return run
