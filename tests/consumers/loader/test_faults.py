"""The loader killed at each numbered step of its commit order, and ClickHouse stopped and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from tests.consumers.loader.conftest import PARTITIONS, Kafka, RunLoader, until
from tests.consumers.loader.samples import ACCOUNTS, charged
from tests.fixtures.clickhouse import ClickHouseProcess

from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse import connect, migrate

pytestmark = pytest.mark.integration

KILLED_LOADER = """
import asyncio, os, signal, sys
from penstock.settings import ClickHouseSettings, KafkaSettings
from penstock_consumers.loader import Loader, LoaderSettings, loader as module
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry

step, group, registry_url = sys.argv[1:]

def dies_after(call, when=lambda *args: True):
    async def dying(*args, **kwargs):
        result = await call(*args, **kwargs)
        if when(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return dying

if step == "insert":
    Loader._insert = dies_after(Loader._insert, lambda self, table, *_: table == "ledger")
elif step == "dead letters":
    module.send_dead_letters = dies_after(module.send_dead_letters)
elif step == "commit":
    module.AIOKafkaConsumer.commit = dies_after(module.AIOKafkaConsumer.commit)

async def main():
    async with SchemaRegistry(registry_url) as registry:
        await Loader(KafkaSettings(), ClickHouseSettings(), Codec(registry), LoaderSettings(group_id=group)).run()

asyncio.run(main())
"""


async def run_until_it_kills_itself(step: str, group: str, kafka: Kafka, database: ClickHouseSettings) -> None:
    """A loader in a process of its own, which sends itself SIGKILL right after `step`."""
    environment = {
        "PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": kafka.settings.bootstrap_servers,
        "PENSTOCK_CLICKHOUSE_PORT": str(database.port),
        "PENSTOCK_CLICKHOUSE_PASSWORD": database.password.get_secret_value(),
        "PENSTOCK_CLICKHOUSE_DATABASE": database.database,
    }
    command = [sys.executable, "-c", KILLED_LOADER, step, group, kafka.registry_url]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


async def committed(kafka: Kafka, group: str) -> int:
    """Records of the accounts topic that the group has committed."""
    consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
        bootstrap_servers=kafka.settings.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(ACCOUNTS, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        return sum([await consumer.committed(partition) or 0 for partition in partitions])
    finally:
        await consumer.stop()


@pytest.mark.parametrize(("step", "commits"), [("insert", False), ("dead letters", False), ("commit", True)])
async def test_a_loader_killed_behind_any_step_loses_nothing_and_doubles_nothing(
    kafka: Kafka,
    run_loader: RunLoader,
    database: ClickHouseSettings,
    clickhouse_client: Any,
    tenant: str,
    step: str,
    commits: bool,
) -> None:
    group = token_hex(8)
    clickhouse_client.command("SYSTEM STOP MERGES ledger")
    clickhouse_client.command("SYSTEM STOP MERGES dead_letters")
    await kafka.produce_raw(b"poison of " + tenant.encode(), topic=ACCOUNTS, partition=0)
    await kafka.produce(*(charged(tenant, n) for n in range(50)), topic=ACCOUNTS)

    await run_until_it_kills_itself(step, group, kafka, database)
    assert bool(await committed(kafka, group)) is commits

    def count(query: str) -> int:
        return int(clickhouse_client.command(query, parameters={"t": tenant}))

    letters = "SELECT count() FROM v_dead_letters WHERE value = concat('poison of ', {t:String})"
    async with run_loader(group_id=group):
        await until(lambda: count("SELECT sum(calls) FROM v_bill WHERE tenant_id = {t:String}") == 50)
        await until(lambda: count(letters) == 1)
        await kafka.produce(charged(tenant, 50), topic=ACCOUNTS)
        await until(lambda: count("SELECT sum(calls) FROM v_bill WHERE tenant_id = {t:String}") == 51)
    assert count("SELECT sum(cost_nanousd) FROM v_bill WHERE tenant_id = {t:String}") == 51 * 1_500
    # The control: what was loaded twice is there twice, and only FINAL in the views keeps it off the bill.
    doubled = count("SELECT count() FROM ledger WHERE tenant_id = {t:String}") > 51
    assert doubled is not commits


async def test_while_clickhouse_is_away_the_lag_stays_on_kafka_and_then_is_loaded(
    kafka: Kafka, run_loader: RunLoader, tenant: str, tmp_path: Path
) -> None:
    group = token_hex(8)
    server = ClickHouseProcess(tmp_path)
    migrate(server.settings)
    await kafka.produce(charged(tenant, 0), topic=ACCOUNTS)
    query = f"SELECT count() FROM ledger FINAL WHERE tenant_id = '{tenant}'"
    async with run_loader(clickhouse=server.settings, group_id=group, max_rows=100) as loader:
        with connect(server.settings) as client:
            await until(lambda: client.command(query) == 1)
        await until(lambda: loader.hindrance() is None)
        server.kill()
        before = await committed(kafka, group)
        await kafka.produce(*(charged(tenant, n) for n in range(1, 1_000)), topic=ACCOUNTS)
        await until(lambda: "ClickHouse" in (loader.hindrance() or ""))
        assert await committed(kafka, group) == before
        again = ClickHouseProcess(tmp_path, port=server.port)
        with connect(again.settings) as client:
            await until(lambda: client.command(query) == 1_000)
        await until(lambda: loader.hindrance() is None)
    again.stop()


async def test_a_loader_that_is_stopped_while_clickhouse_is_away_stops(
    kafka: Kafka, run_loader: RunLoader, clickhouse: ClickHouseSettings, tenant: str
) -> None:
    group = token_hex(8)
    await kafka.produce(charged(tenant, 0), topic=ACCOUNTS)
    async with run_loader(clickhouse=clickhouse.model_copy(update={"port": 1}), group_id=group) as loader:
        await until(lambda: "ClickHouse" in (loader.hindrance() or ""))
    assert await committed(kafka, group) == 0


async def test_two_loaders_share_the_work(
    kafka: Kafka, run_loader: RunLoader, clickhouse_client: Any, tenant: str
) -> None:
    group = token_hex(8)
    query = "SELECT sum(calls) FROM v_bill WHERE tenant_id = {t:String}"
    async with run_loader(group_id=group):
        await kafka.produce(*(charged(tenant, n) for n in range(100)), topic=ACCOUNTS)
        async with run_loader(group_id=group) as second:
            await until(lambda: second.hindrance() is None)
            await kafka.produce(*(charged(tenant, n) for n in range(100, 200)), topic=ACCOUNTS)
            await until(lambda: clickhouse_client.command(query, parameters={"t": tenant}) == 200)
