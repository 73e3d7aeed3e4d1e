"""Send the usage, wait until ClickHouse has it, and hold the bill against the one worked out beside it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from penstock.client import Client
from penstock.money_arguments import PriceArguments
from penstock.settings import KafkaSettings, RegistrySettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_REQUESTS
from tests.exact_bill.expected import SUMS, Bill
from tests.exact_bill.rates import LISTED, LISTED_LATE, Rate
from tests.exact_bill.usage import reports

BLOCK = 4_000
"""Reports encoded between two waits for Kafka."""
EFFECTIVE = datetime(2020, 1, 1, tzinfo=UTC)
BILLED_WITHIN_S = 1_800
BILL = f"""
    SELECT tenant_id, period, model, calls, {", ".join(SUMS)}, cost_nanousd FROM v_bill
    WHERE startsWith(tenant_id, {{prefix:String}})
"""
UNBILLED = """
    SELECT tenant_id, period, model, calls FROM v_unbilled WHERE startsWith(tenant_id, {prefix:String})
"""


@dataclass
class Proof:
    """The outcome, with times in seconds."""

    reports: int
    calls: int = 0
    nanousd: int = 0
    unpriced_calls: int = 0
    sent_s: float = 0.0
    billed_s: float = 0.0
    """From the first report sent to the last line in the bill."""
    listed_late_s: float = 0.0
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Platform:
    """What a proof speaks to."""

    client: Client
    clickhouse: Any
    kafka: KafkaSettings
    registry: RegistrySettings


async def prove(on: Platform, count: int, seed: int, prefix: str) -> Proof:
    """Bill `count` reports of tenants whose names begin with `prefix`, on a running stack."""
    await on.client.set_prices([_listing(model, rate) for model, rate in LISTED.items()])
    proof, bill = Proof(count), Bill()
    began = time.perf_counter()
    await _send(on, count, seed, prefix, bill)
    proof.sent_s = time.perf_counter() - began
    await _until(lambda: _billed(on.clickhouse, prefix) == (bill.calls, sum(bill.unpriced.values())))
    proof.billed_s = time.perf_counter() - began
    proof.differences += _differences(bill, on.clickhouse, prefix)
    proof.unpriced_calls = sum(bill.unpriced.values())

    late = f"{prefix}-late"
    bill.list_late(late, LISTED_LATE)
    began = time.perf_counter()
    await on.client.set_prices([_listing(late, LISTED_LATE)])
    await _until(lambda: _billed(on.clickhouse, prefix)[0] == bill.calls)
    proof.listed_late_s = time.perf_counter() - began
    proof.differences += _differences(bill, on.clickhouse, prefix)
    proof.calls, proof.nanousd = bill.calls, bill.nanousd
    return proof


def _listing(model: str, rate: Rate) -> PriceArguments:
    return PriceArguments(
        model=model,
        input_per_mtok=rate.input,
        output_per_mtok=rate.output,
        cache_read=rate.cache_read,
        cache_write=rate.cache_write,
        per_tool_call=rate.tool_call,
        per_cpu_second=rate.cpu_second,
        per_gb_second=rate.gb_second,
        effective=EFFECTIVE,
    )


async def _send(on: Platform, count: int, seed: int, prefix: str, bill: Bill) -> None:
    """Send in order, in batches of one partition each: a batch has one arrival time, as Kafka says it."""
    async with AsyncExitStack() as open_:
        registry = await open_.enter_async_context(SchemaRegistry(on.registry.url))
        producer = await open_.enter_async_context(AIOKafkaProducer(**on.kafka.client_options()))
        codec = Codec(registry)
        await codec.prepare_writers([ACCOUNTS_REQUESTS, ACCOUNTS_COMMANDS])
        partitions = len(await producer.partitions_for(ACCOUNTS_COMMANDS.name))
        block: dict[tuple[str, int], list[tuple[bytes, r.RecordUsage | None]]] = defaultdict(list)
        for number, report in enumerate(reports(seed, count, prefix), 1):
            value = codec.encode(report.topic.name, report.usage)
            target = report.topic.name, report.topic.partition_of(report.usage, partitions)
            block[target].append((value, None if report.repeat else report.usage))
            if number % BLOCK == 0 or number == count:
                await asyncio.gather(*(_send_batch(producer, target, of, bill) for target, of in block.items()))
                block.clear()


async def _send_batch(
    producer: AIOKafkaProducer,
    target: tuple[str, int],
    encoded: list[tuple[bytes, r.RecordUsage | None]],
    bill: Bill,
) -> None:
    topic, partition = target
    while encoded:
        batch, taken = producer.create_batch(), 0
        for value, _ in encoded:
            if batch.append(key=None, value=value, timestamp=None) is None:
                break
            taken += 1
        batch.close()
        arrived = await (await producer.send_batch(batch, topic, partition=partition))
        for _, call in encoded[:taken]:
            if call is not None:
                bill.add(call, arrived.timestamp / 1_000)
        encoded = encoded[taken:]


async def _until(reached: Any) -> None:
    """Until the bill is as far as it should be; or for too long, and then it differs."""
    deadline_s = time.monotonic() + BILLED_WITHIN_S
    while not await asyncio.to_thread(reached) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.2)


def _billed(clickhouse: Any, prefix: str) -> tuple[int, int]:
    query = f"SELECT (SELECT sum(calls) FROM ({BILL})), (SELECT sum(calls) FROM ({UNBILLED}))"
    ((billed, unbilled),) = _rows(clickhouse, query, prefix)
    return billed or 0, unbilled or 0


def _rows(clickhouse: Any, query: str, prefix: str) -> Any:
    return clickhouse.query(query, parameters={"prefix": prefix}).result_rows


def _differences(bill: Bill, clickhouse: Any, prefix: str) -> list[str]:
    """Every line that is not as it was worked out."""
    found, waiting = (
        {(tenant, period, model): list(sums) for tenant, period, model, *sums in _rows(clickhouse, query, prefix)}
        for query in (BILL, UNBILLED)
    )
    unpriced = {line: [calls] for line, calls in bill.unpriced.items()}
    return [
        f"{what} {line}: expected {expected.get(line)}, found {seen.get(line)}"
        for what, expected, seen in (("billed", bill.lines, found), ("unpriced", unpriced, waiting))
        for line in sorted({*expected, *seen})
        if expected.get(line) != seen.get(line)
    ]
