"""Twenty thousand reports as they come, billed to the nano-dollar; `python -m tests.exact_bill`: a million."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_services.clickhouse import connect
from tests.e2e.conftest import Stack
from tests.e2e.test_prices import client
from tests.exact_bill.proof import Platform, Proof, prove
from tests.second_run import counts_at_once

pytestmark = [pytest.mark.e2e, counts_at_once]


@pytest.mark.timeout(300)
def test_a_bill_of_repeated_late_and_unpriced_usage_is_exact(stack: Stack):
    env = stack.env
    kafka = KafkaSettings(bootstrap_servers=env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"])
    database = ClickHouseSettings(
        host=env["PENSTOCK_CLICKHOUSE_HOST"],
        port=int(env["PENSTOCK_CLICKHOUSE_PORT"]),
        user=env["PENSTOCK_CLICKHOUSE_USER"],
        password=env["PENSTOCK_CLICKHOUSE_PASSWORD"],
        database="penstock",
    )

    async def proved() -> Proof:
        with connect(database) as clickhouse:
            async with client(stack) as sdk:
                on = Platform(sdk, clickhouse, kafka, RegistrySettings(url=env["PENSTOCK_REGISTRY_URL"]))
                return await prove(on, 20_000, seed=7, prefix=f"exact-{uuid4().hex[:8]}")

    proof = asyncio.run(proved())
    assert proof.differences == []
    assert proof.calls > 18_000
    assert proof.unpriced_calls > 100
