"""kill -9 during inserts: what was acknowledged is there once; what was not is there whole, or not at all."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from tests.embedded_clickhouse.test_streaming import open_client
from tests.fixtures.clickhouse import ClickHouseProcess

ROUNDS, WRITERS, ROWS = 12, 3, 1000
TABLE = "CREATE TABLE IF NOT EXISTS penstock.t (batch Int64, row Int64) ENGINE = MergeTree ORDER BY (batch, row)"


class Batches:
    """What was sent, and what of it was acknowledged."""

    def __init__(self) -> None:
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self._numbers = count()

    def write_until_killed(self, server: ClickHouseProcess, client: Any) -> None:
        try:
            while True:
                batch = next(self._numbers)
                self.sent.add(batch)
                client.insert("penstock.t", [[batch, row] for row in range(ROWS)], column_names=["batch", "row"])
                self.acknowledged.add(batch)
        except (ClickHouseError, HTTPError, OSError):  # the kill arrives as whatever error the client makes of it
            assert server.process.poll() is not None, "an insert failed although nobody killed the server"

    def check(self, server: ClickHouseProcess) -> None:
        query = "SELECT batch, count(), uniqExact(row) FROM penstock.t GROUP BY batch"
        found = open_client(server.settings).query(query).result_rows
        stored = {batch: (rows, distinct) for batch, rows, distinct in found}
        assert self.acknowledged <= stored.keys(), "an acknowledged batch is lost"
        assert stored.keys() <= self.sent
        assert set(stored.values()) <= {(ROWS, ROWS)}, "a batch is there twice, or in part"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[ClickHouseProcess]]:
    started: list[ClickHouseProcess] = []
    yield started
    for server in started:
        if server.process.poll() is None:
            server.kill()


@pytest.mark.timeout(300)
def test_kill_9_loses_nothing_acknowledged_and_doubles_nothing(
    tmp_path: Path, servers: list[ClickHouseProcess]
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    moments, batches = random.Random(seed), Batches()
    for _ in range(ROUNDS):
        server = ClickHouseProcess(tmp_path)
        servers.append(server)
        open_client(server.settings).command(TABLE)
        batches.check(server)
        clients = [open_client(server.settings) for _ in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as writers:
            running = [writers.submit(batches.write_until_killed, server, client) for client in clients]
            killer = threading.Timer(moments.uniform(0.05, 0.8), server.kill)
            killer.start()
            for writer in running:
                writer.result()
            killer.join()
    last = ClickHouseProcess(tmp_path)
    servers.append(last)
    batches.check(last)
    assert len(batches.acknowledged) >= ROUNDS
    assert batches.sent - batches.acknowledged, "no kill fell into an insert"
    print(f"{len(batches.acknowledged)} of {len(batches.sent)} batches acknowledged")
    assert last.stop() == 0
