"""Read what an audit compares: usage and charges from Kafka, ledger and bill from ClickHouse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from penstock.errors import Unverifiable
from penstock.settings import KafkaSettings
from penstock_schemas import topics
from penstock_schemas.codec import Codec
from penstock_schemas.records import RequestExecution
from penstock_services.audit.bills import read_bills
from penstock_services.audit.findings import Findings
from penstock_services.audit.recount import (
    ANSWERS,
    COMMANDS,
    LINES,
    REPORTS,
    LedgerLine,
    Sources,
    recount,
)
from penstock_services.pricing.published import published_prices
from penstock_services.topic_reader import Read, TopicReader

USAGE_TOPICS = (topics.ACCOUNTS_REQUESTS.name, topics.ACCOUNTS_COMMANDS.name)


async def audit_month(month: str, kafka: KafkaSettings, codec: Codec, clickhouse: Any) -> Findings:
    """Recount `month` (`YYYY-MM`) once, from everything that is on Kafka and in ClickHouse now.

    Raises:
        Unverifiable: Kafka no longer holds all of the month.
        KafkaUnreachable: no broker answered.
    """
    # Charges first: a charge read here has its usage on Kafka already, so usage read after it includes it.
    charged = await _read(kafka, codec, (topics.ACCOUNTS_EVENTS.name,), month)
    usage = await _read(kafka, codec, USAGE_TOPICS, month)
    sources = Sources(
        usage=[read for read in usage if isinstance(read.record, REPORTS + COMMANDS)],
        lines=[read for read in charged if isinstance(read.record, LINES + ANSWERS)],
        requests=[read for read in usage if isinstance(read.record, RequestExecution)],
    )
    bills, parts = read_bills(clickhouse, month)
    return recount(month, sources, _ledger(clickhouse, month), bills, parts, published_prices())


async def _read(kafka: KafkaSettings, codec: Codec, names: tuple[str, ...], month: str) -> list[Read]:
    month_start_us = int(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).timestamp()) * 1_000_000
    async with TopicReader(kafka, codec, names) as reader:
        cut = {(start.topic, start.partition): start.offset for start in await reader.starts() if start.offset > 0}
        reads = [read async for read in reader.read()]
    first_kept: dict[tuple[str, int], int] = {}
    for read in reads:
        first_kept.setdefault((read.topic, read.partition), read.timestamp)
    for (topic, partition), offset in cut.items():
        if first_kept.get((topic, partition), month_start_us + 1) > month_start_us:
            raise Unverifiable(
                f"{topic}/{partition} begins at offset {offset}, after the start of {month}: "
                "retention removed records this month's money came from"
            )
    return reads


def _ledger(clickhouse: Any, month: str) -> list[LedgerLine]:
    query = """
        SELECT tenant_id, usage_id, toString(line_id), cost_nanousd, pipeline_id, conversation_id
        FROM ledger FINAL WHERE period = {month:String}
    """
    return [LedgerLine(*row) for row in clickhouse.query(query, parameters={"month": month}).result_rows]
