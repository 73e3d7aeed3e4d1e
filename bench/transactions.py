"""What one small transaction costs, back to back and apart, by how long the producer waits for markers.

    python bench/transactions.py [--rounds 5]

One producer on a broker of its own writes a record to each of four topics and commits. A transaction cannot begin
before the markers of the last one are written; `as aiokafka comes` asks again every 20 ms, the kit every 2 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.producer import sender as aiokafka_sender
from rich.console import Console
from rich.table import Table
from servers import start_servers

from penstock.settings import KafkaSettings
from penstock_schemas.topics import TOPICS
from penstock_services.topic_admin import apply_topics
from penstock_streams.kit._faust import MARKER_WAIT, MARKER_WAIT_S, ask_for_markers_again_after

TRANSACTIONS = 100
APART_S = 0.05
TARGETS = [topic.name for topic in TOPICS.values() if topic.kind == "events"][:4]
WAITS_S = {
    "as aiokafka comes": getattr(aiokafka_sender, MARKER_WAIT),
    "the kit": MARKER_WAIT_S,
    "1 ms": 0.001,
}


async def transaction_s(producer: AIOKafkaProducer) -> float:
    began = time.perf_counter()
    async with producer.transaction():
        for topic in TARGETS:
            await producer.send(topic, b"x", partition=0)
        await producer.flush()
    return time.perf_counter() - began


async def measure(rounds: int) -> Table:
    took: dict[tuple[str, float], list[float]] = defaultdict(list)
    async with AsyncExitStack() as servers:
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        kafka = KafkaSettings(bootstrap_servers=(await start_servers(servers, folder))[0])
        await apply_topics(kafka, TOPICS.values(), 4)
        options = {"transactional_id": "bench", "acks": "all", "retry_backoff_ms": 20}
        producer = await servers.enter_async_context(AIOKafkaProducer(**kafka.client_options(), **options))
        for _ in range(rounds):
            for name, wait_s in WAITS_S.items():
                ask_for_markers_again_after(wait_s)
                for apart_s in (0.0, APART_S):
                    for _ in range(TRANSACTIONS):
                        took[name, apart_s].append(await transaction_s(producer))
                        await asyncio.sleep(apart_s)
    table = Table("wait", "back to back p50", "p95", f"{APART_S * 1000:.0f} ms apart p50", "p95")
    for name in WAITS_S:
        cells = (
            f"{quantiles[at] * 1000:.1f} ms"
            for apart_s in (0.0, APART_S)
            for quantiles in [statistics.quantiles(took[name, apart_s], n=100)]
            for at in (49, 94)
        )
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    Console().print(asyncio.run(measure(parser.parse_args().rounds)))
