"""Clients beside each other, and what must outlive a request."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.embedded_clickhouse.conftest import Connect, Curl

CLIENTS, ROUNDS, ROWS = 8, 6, 200


def test_eight_clients_mix_inserts_selects_and_ddl(connect: Connect) -> None:
    shared = connect()
    columns = "client Int64, round Int64, n Int64"
    shared.command(f"CREATE TABLE shared ({columns}) ENGINE = MergeTree ORDER BY (client, n)")
    clients = [connect() for _ in range(CLIENTS)]

    def work(number: int) -> None:
        client, own = clients[number], f"own_{number}"
        for turn in range(ROUNDS):
            client.command(f"CREATE TABLE {own} (n Int64) ENGINE = MergeTree ORDER BY n")
            client.insert(own, [[n] for n in range(ROWS)], column_names=["n"])
            client.command(f"ALTER TABLE {own} ADD COLUMN twice Int64 DEFAULT n * 2")
            assert client.query(f"SELECT count(), sum(twice) FROM {own}").result_rows == [
                (ROWS, ROWS * (ROWS - 1))
            ]
            client.command(f"INSERT INTO shared SELECT {number}, {turn}, n FROM {own}")
            query = "SELECT count() FROM shared WHERE client = {c:Int64}"
            assert client.query(query, parameters={"c": number}).result_rows == [((turn + 1) * ROWS,)]
            client.command(f"RENAME TABLE {own} TO {own}_old")
            client.command(f"DROP TABLE {own}_old")

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(work, range(CLIENTS)))
    query = "SELECT client, count(), uniqExact((round, n)) FROM shared GROUP BY client ORDER BY client"
    assert shared.query(query).result_rows == [(number, ROUNDS * ROWS, ROUNDS * ROWS) for number in range(CLIENTS)]
    assert shared.query("SHOW TABLES").result_columns[0] == ["shared"]


def test_a_table_in_memory_outlives_the_request_that_made_it(curl: Curl) -> None:
    assert curl("", "-d", "CREATE TABLE m (a Int64) ENGINE = Memory")[0] == 200
    assert curl("", "-d", "INSERT INTO m VALUES (4)")[0] == 200
    assert curl("", "-d", "SELECT a FROM m")[2] == b"4\n"


def test_refreshable_views_go_on_between_requests(client: Any) -> None:
    client.command("CREATE TABLE moments (at DateTime64(6)) ENGINE = MergeTree ORDER BY at")
    view = "CREATE MATERIALIZED VIEW v REFRESH EVERY 1 SECOND APPEND TO moments AS SELECT now64(6) AS at"
    client.command(view)
    deadline = time.monotonic() + 30
    while client.command("SELECT count() FROM moments") < 3:
        assert time.monotonic() < deadline, "the view did not refresh three times"
        time.sleep(0.1)
    client.command("DROP VIEW v")
