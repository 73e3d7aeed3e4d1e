"""Results and rows of any size pass through, and the process stays as big as it was."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import psutil
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from penstock.settings import ClickHouseSettings
from penstock_services.embedded.clickhouse.app import STATEMENTS
from tests.fixtures.clickhouse import ClickHouseProcess

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseProcess]:
    """A process of its own, so that its memory is this module's doing."""
    process = ClickHouseProcess(tmp_path_factory.mktemp("streaming"))
    yield process
    process.stop()


@pytest.fixture
def client(server: ClickHouseProcess) -> Iterator[Any]:
    opened = open_client(server.settings)
    yield opened
    opened.close()


def open_client(settings: ClickHouseSettings) -> Any:
    password = settings.password.get_secret_value()
    return clickhouse_connect.get_client(
        host=settings.host, port=settings.port, username=settings.user, password=password
    )


def peak_memory_of(server: ClickHouseProcess, work: Callable[[], None]) -> int:
    """Most resident bytes while `work` runs, above those before it."""
    process, done = psutil.Process(server.process.pid), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return int(peak - before)


def test_a_result_of_500_mb_takes_no_more_memory_than_its_window(server: ClickHouseProcess, client: Any) -> None:
    received = 0

    def read() -> None:
        nonlocal received
        query = "SELECT repeat('x', 1000) FROM numbers(500000) SETTINGS max_threads = 1"
        with client.raw_stream(query, fmt="TSV") as stream:
            received = sum(map(len, iter(lambda: stream.read(MIB), b"")))

    client.command("SELECT count() FROM numbers(1000000)")  # what the engine allocates once
    assert peak_memory_of(server, read) < 150 * MIB
    assert received == 500000 * 1001


def test_rows_of_800_mb_take_no_more_memory_than_a_few_blocks(server: ClickHouseProcess, client: Any) -> None:
    client.command("CREATE TABLE wide (s String) ENGINE = Null")
    block = b"x" * 999 + b"\n"

    def write() -> None:
        client.raw_insert("wide", insert_block=(block * 1000 for _ in range(800)), fmt="TSV", compression="")

    assert peak_memory_of(server, write) < 450 * MIB


def test_an_error_behind_the_first_rows_is_not_taken_for_the_end(client: Any) -> None:
    with pytest.raises(StreamFailureError, match="FUNCTION_THROW_IF"):
        _ = client.query("SELECT number, throwIf(number = 3000000) FROM numbers(4000000)").result_columns


@pytest.mark.parametrize(
    "sql", ["SELECT count() FROM numbers(1e12)", "SELECT number FROM numbers(1e12) FORMAT Null"]
)
def test_a_query_is_stopped_at_its_max_execution_time(server: ClickHouseProcess, client: Any, sql: str) -> None:
    settings = {"max_execution_time": 1, "query_id": "timed"}
    with pytest.raises(DatabaseError) as caught:
        client.raw_query(sql, settings=settings)
    assert caught.value.code == 159
    assert not _running(client, "timed")


def test_a_result_that_is_cut_at_its_max_execution_time_says_so(client: Any) -> None:
    query = "SELECT repeat('x', 500000), sleepEachRow(0.01) FROM numbers(1000000)"
    settings = {"max_execution_time": 2, "max_block_size": 2}
    with pytest.raises(StreamFailureError, match="TIMEOUT_EXCEEDED"):
        _ = client.query(query, settings=settings).result_columns


def test_a_query_that_wants_too_much_memory_fails_alone(client: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.command(
            "SELECT length(groupArray(number)) FROM numbers(1e9)", settings={"max_memory_usage": 30 * MIB}
        )
    assert caught.value.code == 241
    assert client.command("SELECT 1") == 1
    assert 0 < client.command("SELECT getSetting('max_memory_usage')") < psutil.virtual_memory().total


def test_a_long_scan_holds_nobody_up(server: ClickHouseProcess, client: Any) -> None:
    scan = _send_query(server, "SELECT count() FROM numbers(100000000000)", query_id="scan")
    try:
        _wait_until(lambda: _running(client, "scan"))
        began = time.monotonic()
        assert client.command("SELECT 1") == 1
        assert time.monotonic() - began < 2.0
    finally:
        scan.close()


def test_more_clients_than_there_are_turns_are_all_served(server: ClickHouseProcess) -> None:
    credentials = b64encode(f"default:{server.password}".encode()).decode()
    url = f"http://127.0.0.1:{server.port}/?query=SELECT+repeat('x',100)+FROM+numbers(30000)"

    def read(_: int) -> int:
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return len(response.read())

    with ThreadPoolExecutor(3 * STATEMENTS) as clients:
        assert set(clients.map(read, range(3 * STATEMENTS))) == {30000 * 101}


def test_a_client_that_goes_away_stops_its_query(server: ClickHouseProcess, client: Any) -> None:
    connection = _send_query(server, "SELECT count() FROM numbers(100000000000)", query_id="left")
    _wait_until(lambda: _running(client, "left"))
    connection.close()
    _wait_until(lambda: not _running(client, "left"))


def test_an_insert_whose_client_goes_away_is_not_taken_for_complete(
    server: ClickHouseProcess, client: Any
) -> None:
    client.command("CREATE TABLE cut (a Int64) ENGINE = MergeTree ORDER BY a")
    sql = "INSERT INTO cut FORMAT CSV\n" + "1\n" * 100_000
    connection = _send_query(server, sql, query_id="cut", claimed_bytes=1_000_000)
    _wait_until(lambda: _running(client, "cut"))
    connection.close()
    _wait_until(lambda: not _running(client, "cut"))
    assert client.command("SELECT count() FROM cut") == 0


def test_a_slow_reader_that_goes_away_frees_its_query(server: ClickHouseProcess, client: Any) -> None:
    connection = _send_query(server, "SELECT repeat('x', 1000) FROM numbers(10000000)", query_id="slow")
    assert connection.recv(100)
    connection.close()
    _wait_until(lambda: not _running(client, "slow"))


def _send_query(
    server: ClickHouseProcess, sql: str, *, query_id: str, claimed_bytes: int | None = None
) -> socket.socket:
    credentials = b64encode(f"default:{server.password}".encode()).decode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(
        f"POST /?query_id={query_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n"
        f"Content-Length: {claimed_bytes or len(sql)}\r\n\r\n{sql}".encode()
    )
    return connection


def _running(client: Any, query_id: str) -> bool:
    query = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = {id:String}"
    return bool(client.command(query, parameters={"id": query_id}))


def _wait_until(condition: Callable[[], bool], deadline_s: float = 15.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def test_sigterm_lets_the_query_in_flight_finish(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path)
    client, watcher = open_client(server.settings), open_client(server.settings)
    answers: list[Any] = []
    query = "SELECT sum(sleepEachRow(0.5)) + 7 FROM numbers(3) SETTINGS max_block_size = 1"
    asking = threading.Thread(
        target=lambda: answers.append(client.command(query, settings={"query_id": "finishing"}))
    )
    asking.start()
    _wait_until(lambda: _running(watcher, "finishing"))
    assert server.stop() == 0
    asking.join(10)
    assert answers == [7]
