"""Records about the platform itself."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from penstock_schemas.records.base import Int32, Int64, Micros, Record


class DeadLetter(Record):
    """A record that could not be used: where it was, what it was, and why. Routed by its source topic."""

    NAMESPACE: ClassVar[str] = "penstock.v1"

    source_topic: str
    source_partition: Int32
    source_offset: Int64
    source_timestamp: Micros
    """Kafka's timestamp of the record."""
    key: bytes | None = None
    value: bytes | None = None
    """First 64 KiB of the value."""
    value_size: Int64
    """Bytes of the whole value."""
    headers: dict[str, bytes] = Field(default_factory=dict)
    error_code: str
    error_message: str
    stage: str
    """Who gave up on it."""
