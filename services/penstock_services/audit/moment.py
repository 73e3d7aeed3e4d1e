"""The budgets' rows and the events they were made with, read from a stack at work.

1. Read the changelog to its last stable offset. What is visible of it are whole transactions of each task, so each
   partition's rows and its position are of one moment.
2. Only then see where the accounts events end, uncommitted ones too. A task's records are in the log before its
   transaction commits, so the events of every transaction seen in 1 lie before these ends.
3. Read the committed events to there. This waits for transactions under way, at most for their timeout, and sees
   more than 1 did; `reservations` leaves that out by the positions.

Compaction may remove a row's value of that moment while 1 reads, when a newer one lies behind the end: a rare
false difference, which a second look does not repeat. So only what both looks find is told.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from aiokafka import TopicPartition
from pydantic_settings import SettingsConfigDict

from penstock.errors import Unverifiable
from penstock.settings import KafkaSettings, Settings
from penstock_schemas import topics
from penstock_schemas.codec import Codec
from penstock_services.audit.calendar import EPOCH
from penstock_services.audit.reservations import Held, Spending, compare, confirmed
from penstock_services.audit.rows import Kept
from penstock_services.topic_admin import kafka_admin
from penstock_services.topic_reader import TopicReader, messages_until, reading

EVENTS = topics.ACCOUNTS_EVENTS.name
EARLY = timedelta(minutes=5)
"""A call this long before midnight may be of the next month."""


class StreamsName(Settings):
    """`PENSTOCK_STREAMS_APP_ID`, which names the changelog."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_STREAMS_")

    app_id: str = "penstock"


async def audit_budgets(kafka: KafkaSettings, codec: Codec) -> Held:
    """Check every budget; a difference is told where a second look finds it too.

    Raises:
        Unverifiable: there is no table to check, it is of another version, or Kafka no longer holds this month.
        KafkaUnreachable: no broker answered.
    """
    held = await _look(kafka, codec)
    if held.leaks:
        before, held = held.leaks, await _look(kafka, codec)
        held.leaks = confirmed(before, held.leaks)
    return held


async def _look(kafka: KafkaSettings, codec: Codec) -> Held:
    kept = await _rows(kafka)
    ends = await _ends(kafka)
    spending = Spending(kept)
    async with TopicReader(kafka, codec, (EVENTS,)) as reader:
        cut = {start.partition for start in await reader.starts() if start.offset > 0}
        oldest = datetime.now(UTC) - timedelta(seconds=topics.ACCOUNTS_EVENTS.retention_s)
        months = dict.fromkeys(cut, _month(oldest))
        async for read in reader.read(ends):
            if read.partition in cut:
                cut.remove(read.partition)
                months[read.partition] = _month(EPOCH + timedelta(microseconds=read.timestamp))
            spending.add(read)
        cut_in = max(months.values(), default=None)
    if cut_in == _month(datetime.now(UTC)):
        raise Unverifiable(f"{EVENTS} no longer holds all of {cut_in}: retention removed what was charged then")
    return compare(kept, spending, cut_in)


async def _rows(kafka: KafkaSettings) -> Kept:
    changelog = f"{StreamsName().app_id}-accounts-changelog"
    async with kafka_admin(kafka) as admin:
        (described,) = await admin.describe_topics([changelog])
    if described["error_code"]:
        raise Unverifiable(
            f"there is no topic {changelog}: no streams process has run here, or not under this "
            "PENSTOCK_STREAMS_APP_ID"
        )
    kept = Kept()
    async with reading(kafka, (changelog,)) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        async for message in messages_until(consumer, ends):
            try:
                kept.apply(message.partition, message.key or b"", message.value)
            except msgspec.MsgspecError as exc:
                raise Unverifiable(
                    f"{changelog}/{message.partition}@{message.offset}: row {message.key!r} is none this audit "
                    f"knows ({exc}); use the audit of the version that runs the streams"
                ) from exc
    return kept


async def _ends(kafka: KafkaSettings) -> dict[TopicPartition, int]:
    """Where the events end, with what is not committed yet."""
    async with reading(kafka, (EVENTS,), isolation_level="read_uncommitted") as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
    return ends


def _month(at: datetime) -> str:
    return f"{at + EARLY:%Y-%m}"
