"""The past of one execution: its records as ClickHouse has loaded them, and where on Kafka to read on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.followed import Terminal
from penstock.models import Cursor
from penstock.reading import Reading, Row
from penstock.tailing import Placed
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_EVENTS, EXECUTIONS_PROGRESS

CLOCK_MARGIN_MS = 60_000
"""How far the clocks of two brokers may lie apart; the topics' timestamps are theirs."""

EVENTS = """
    SELECT * REPLACE (toUnixTimestamp64Micro(occurred_at) AS occurred_at,
                      toUnixTimestamp64Micro(deadline_at) AS deadline_at,
                      toUnixTimestamp64Micro(retry_at) AS retry_at,
                      toUnixTimestamp64Milli(kafka_timestamp) AS kafka_timestamp)
    FROM executions_events FINAL WHERE execution_id = {id:String} ORDER BY kafka_offset
"""
PROGRESS = """
    SELECT * REPLACE (toUnixTimestamp64Micro(occurred_at) AS occurred_at,
                      toUnixTimestamp64Milli(kafka_timestamp) AS kafka_timestamp)
    FROM executions_progress FINAL WHERE execution_id = {id:String} ORDER BY epoch, seq
"""


@dataclass(frozen=True, slots=True)
class Past:
    """What was loaded of an execution."""

    records: Sequence[Placed]
    start: Cursor
    """Before the first of them."""
    events_offset: int
    progress_offset: int
    """The next offsets: everything before them that is about the execution is in `records`."""


class History:
    """Reads pasts.

    The loader inserts the records of one partition in the order of their offsets, so what follows the newest row
    of an execution on Kafka is exactly what is missing here.
    """

    def __init__(self, reading: Reading, kafka: KafkaConnection) -> None:
        self._reading = reading
        self._kafka = kafka

    async def of(self, execution_id: str) -> Past:
        """The past of one execution; without records where nothing of it is loaded."""
        on_events = await self._kafka.partition_of(EXECUTIONS_EVENTS, execution_id)
        on_progress = await self._kafka.partition_of(EXECUTIONS_PROGRESS, execution_id)
        events, next_event = await self._loaded(EVENTS, "executions_events", execution_id, on_events)
        progress, next_progress = await self._loaded(PROGRESS, "executions_progress", execution_id, on_progress)
        if events and not progress:  # none is older than the execution's first event
            since_ms = events[0]["kafka_timestamp"] - CLOCK_MARGIN_MS
            next_progress = await self._kafka.offset_at(on_progress, since_ms)
        placed = [
            Placed(_record(row), EXECUTIONS_EVENTS.name, next_offset, row["kafka_timestamp"])
            for row, next_offset in _with_next_offsets(events, next_event)
        ]
        placed_progress = [
            Placed(_record(row), EXECUTIONS_PROGRESS.name, next_offset, row["kafka_timestamp"])
            for row, next_offset in _with_next_offsets(progress, next_progress)
        ]
        return Past(
            records=_in_order(
                list(zip(events, placed, strict=True)), list(zip(progress, placed_progress, strict=True))
            ),
            start=Cursor(
                progress_offset=min((int(row["kafka_offset"]) for row in progress), default=next_progress)
            ),
            events_offset=next_event,
            progress_offset=next_progress,
        )

    async def _loaded(
        self, query: str, table: str, execution_id: str, partition: TopicPartition
    ) -> tuple[list[Row], int]:
        """The rows of an execution in one table, and the offset at which what is missing begins.

        Without rows, what is missing begins after the newest row of the whole partition. That row is looked up
        before the execution's own are looked for again: loaded in between, they would be on neither side.
        """
        rows = await self._reading.rows(query, {"id": execution_id})
        newest = -1
        if not rows:
            (loaded,) = await self._reading.rows(
                f"SELECT count() AS n, max(kafka_offset) AS newest FROM {table} WHERE kafka_partition={{p:Int32}}",
                {"p": partition.partition},
            )
            newest = int(loaded["newest"]) if loaded["n"] else -1
            rows = await self._reading.rows(query, {"id": execution_id})
        return rows, 1 + max((int(row["kafka_offset"]) for row in rows), default=newest)


def _with_next_offsets(rows: Sequence[Row], after: int) -> list[tuple[Row, int]]:
    """Each row with the offset from which on all later ones are found.

    Not simply the one after its own: of progress that was sent twice the later copy may be the one that is
    loaded, and then the first copy of what follows lies before it.
    """
    first_of_later = list(accumulate((int(row["kafka_offset"]) for row in reversed(rows)), min))[::-1]
    return list(zip(rows, [*first_of_later[1:], after], strict=True)) if rows else []


def _in_order(events: Sequence[tuple[Row, Placed]], progress: Sequence[tuple[Row, Placed]]) -> list[Placed]:
    """Both by when the broker had them, to the millisecond; within one, progress comes before the end it led to.

    Progress that was resent keeps its place before what follows it.
    """
    progress_at = accumulate((row["kafka_timestamp"] for row, _ in progress), max)
    timed = [((row["kafka_timestamp"], 2 * _ends(placed)), placed) for row, placed in events]
    timed += [((at, 1), placed) for at, (_, placed) in zip(progress_at, progress, strict=True)]
    return [placed for _, placed in sorted(timed, key=lambda at: at[0])]


def _ends(placed: Placed) -> bool:
    return isinstance(placed.record, Terminal)


def _record(row: Row) -> r.Record:
    record_type: type[r.Record] = getattr(r, row["record_type"])
    fields = {name: row[name] for name in record_type.model_fields if name in row}
    for name, kind in (("output_ref", r.PayloadRef), ("artifacts_ref", r.ArtifactsRef)):
        if row.get(f"{name}_sha256"):
            fields[name] = kind(sha256=row[f"{name}_sha256"], size=row[f"{name}_size"], uri=row[f"{name}_uri"])
    return record_type.model_validate(fields)
