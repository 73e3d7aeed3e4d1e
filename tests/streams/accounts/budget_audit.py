"""The audit of budgets over one partition in memory, by the bytes that would lie on Kafka."""

from __future__ import annotations

from penstock_services.audit.reservations import Leak, Spending, compare
from penstock_services.audit.rows import Kept
from penstock_services.topic_reader import Read
from penstock_streams.kit.rows import POSITION_KEY, Position, encode, row_key
from tests.streams.partition import Partition


def kept_by(partition: Partition) -> Kept:
    """The rows as the changelog holds them."""
    kept = Kept()
    for key, row in partition.rows.items():
        kept.apply(0, row_key(key), encode(row))
    kept.apply(0, POSITION_KEY, encode(Position(1, {"in": partition.read}, 0)))
    return kept


def spending_of(partition: Partition, kept: Kept) -> Spending:
    """What was written, as it would be read."""
    spending = Spending(kept)
    for offset, record in enumerate(partition.written):
        spending.add(Read(record, "events", 0, offset, partition.now))
    return spending


def leaks(partition: Partition) -> list[Leak]:
    kept = kept_by(partition)
    return compare(kept, spending_of(partition, kept)).leaks
