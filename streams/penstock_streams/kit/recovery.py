"""Bringing a task's store up to its changelog: a plain reader, until its position passes the visible end.

The position moves over transaction markers and aborted records, so every kind of tail completes; a count of
records, or the offset of the last one, would wait for ever on a changelog that ends in a marker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock_streams.kit.later import indexed
from penstock_streams.kit.store import Mark, Store

log = logging.getLogger("penstock.streams")

FETCH_BYTES = 4 * 1024 * 1024
RECORDS_AT_ONCE = 20_000
FETCH_WAIT_MS = 50


async def catch_up(
    store: Store,
    changelog: TopicPartition,
    client_options: Mapping[str, Any],
    *,
    clock: Callable[[], int],
    delete_retention_s: float,
) -> int:
    """Apply to `store` every committed record of `changelog` it has not seen. Call it after fencing.

    A store whose mark cannot be trusted (older than half of `delete_retention_s`, so that tombstones may be
    gone; or outside the log, so of another changelog; or of another layout) is emptied and rebuilt.

    Returns:
        How many records were applied.
    """
    consumer = AIOKafkaConsumer(
        **client_options,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign([changelog])
        begin = (await consumer.beginning_offsets([changelog]))[changelog]
        end = (await consumer.end_offsets([changelog]))[changelog]  # read_committed: the last stable offset
        start = _start(store, begin, end, clock() - int(delete_retention_s * 500_000), changelog)
        consumer.seek(changelog, start)
        return await _apply_until(end, store, consumer, changelog, clock)
    finally:
        # aiokafka swallows a cancellation that comes while it stops: this task would outlive its revocation.
        await asyncio.shield(consumer.stop())


def _start(store: Store, begin: int, end: int, oldest_trusted: int, changelog: TopicPartition) -> int:
    mark = store.mark()
    if mark is not None and mark.applied_at >= oldest_trusted and begin <= mark.next_offset <= end:
        return mark.next_offset
    if mark is not None or not store.is_empty():
        log.warning("%s: the local store stands at %s, log is %d..%d: rebuilding it", changelog, mark, begin, end)
        store.clear()
    return begin


async def _apply_until(
    end: int, store: Store, consumer: AIOKafkaConsumer, changelog: TopicPartition, clock: Callable[[], int]
) -> int:
    applied, started_s = 0, time.monotonic()
    while (position := await consumer.position(changelog)) < end:
        fetched = await consumer.getmany(changelog, timeout_ms=FETCH_WAIT_MS, max_records=RECORDS_AT_ONCE)
        records = fetched.get(changelog, ())
        position = await consumer.position(changelog)
        changes = indexed((record.key, record.value) for record in records)
        store.apply(changes, Mark(position, clock()))
        applied += len(records)
        await asyncio.sleep(0)  # a full buffer never waits, and other tasks must run
    store.apply((), Mark(position, clock()))
    log.info("%s: %d records applied in %.2f s", changelog, applied, time.monotonic() - started_s)
    return applied
