"""The moment that decides a call's month and price, by calendar arithmetic of the audit's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from penstock_services.topic_reader import Read

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(usage: Read) -> datetime:
    """When a call happened, if that is within 48 h before or 5 min after its arrival; else when it arrived."""
    received = EPOCH + timedelta(microseconds=usage.timestamp)
    occurred = EPOCH + timedelta(microseconds=usage.record.occurred_at)
    credible = received - timedelta(hours=48) <= occurred <= received + timedelta(minutes=5)
    return occurred if credible else received
