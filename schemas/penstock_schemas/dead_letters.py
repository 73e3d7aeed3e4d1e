"""The dead letter of a record nobody could use: where it was, what it was, and why. The same for every process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from penstock_schemas.ids import derived_id
from penstock_schemas.records import SYSTEM_TENANT, DeadLetter

KEPT_BYTES = 64 * 1024
"""Of the value, of the key, and of all headers together: a dead letter always fits into a record."""
KEPT_MESSAGE_CHARS = 2_000


class RawRecord(Protocol):
    """What any consumer knows of a record before it is decoded; aiokafka's ConsumerRecord is one."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]: ...


def dead_letter_of(
    source: RawRecord, error: Exception, stage: str, *, tenant_id: str = SYSTEM_TENANT
) -> DeadLetter:
    """The dead letter of `source`, which `stage` gave up on because of `error`.

    Its id derives from stage and coordinates, so a repeat is the same one.
    """
    value = source.value
    return DeadLetter(
        event_id=derived_id("dead-letter", stage, source.topic, source.partition, source.offset),
        tenant_id=tenant_id,
        source_topic=source.topic,
        source_partition=source.partition,
        source_offset=source.offset,
        source_timestamp=max(source.timestamp, 0) * 1000,
        key=None if source.key is None else bytes(source.key[:KEPT_BYTES]),
        value=None if value is None else bytes(value[:KEPT_BYTES]),
        value_size=len(value or b""),
        headers=_kept_headers(source.headers),
        error_code=code_of(error),
        error_message=message_of(error),
        stage=stage,
    )


def code_of(error: Exception) -> str:
    """The machine-readable reason: the error's own code, else its class."""
    return str(getattr(error, "code", None) or type(error).__name__)


def message_of(error: Exception) -> str:
    """What the error says, bounded, and always encodable: a lone surrogate has no Avro form."""
    return str(error)[:KEPT_MESSAGE_CHARS].encode("utf-8", "replace").decode()


def _kept_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes]:
    kept: dict[str, bytes] = {}
    room = KEPT_BYTES
    for name, value in headers:
        room -= len(name.encode()) + len(value or b"")
        if room < 0:
            break
        kept[name] = value or b""
    return kept
