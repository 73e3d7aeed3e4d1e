"""What becomes of a record or timer that cannot be used: a dead letter, in the transaction of its batch."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_schemas.records import SYSTEM_TENANT, DeadLetter
from penstock_streams.kit.inputs import InputRecord

KEPT_BYTES = 64 * 1024
"""Of the value, of the key, and of all headers together: a dead letter always fits into a record."""
KEPT_MESSAGE_CHARS = 2_000


def dead_letter_of_record(raw: InputRecord, error: Exception, stage: str) -> DeadLetter:
    """The dead letter of an input record: its coordinates, its bytes and why."""
    return DeadLetter(
        tenant_id=SYSTEM_TENANT,
        source_topic=raw.topic,
        source_partition=raw.partition,
        source_offset=raw.offset,
        source_timestamp=max(raw.timestamp, 0) * 1000,
        key=None if raw.key is None else bytes(raw.key[:KEPT_BYTES]),
        value=None if raw.value is None else bytes(raw.value[:KEPT_BYTES]),
        value_size=len(raw.value or b""),
        headers=_kept_headers(raw.headers),
        error_code=_code(error),
        error_message=_message(error),
        stage=stage,
    )


def dead_letter_of_timer(
    changelog: str, partition: int, name: str, due: int, error: Exception, stage: str
) -> DeadLetter:
    """The dead letter of a timer: it names the table's changelog, and offset -1 because no record is to blame."""
    return DeadLetter(
        tenant_id=SYSTEM_TENANT,
        source_topic=changelog,
        source_partition=partition,
        source_offset=-1,
        source_timestamp=max(due, 0),
        key=name.encode()[:KEPT_BYTES],
        value=None,
        value_size=0,
        error_code=_code(error),
        error_message=_message(error),
        stage=stage,
    )


def _code(error: Exception) -> str:
    return str(getattr(error, "code", None) or type(error).__name__)


def _message(error: Exception) -> str:
    text = str(error)[:KEPT_MESSAGE_CHARS]
    return text.encode("utf-8", "replace").decode()  # a lone surrogate would make the dead letter unencodable


def _kept_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes]:
    kept: dict[str, bytes] = {}
    room = KEPT_BYTES
    for name, value in headers:
        room -= len(name.encode()) + len(value or b"")
        if room < 0:
            break
        kept[name] = value or b""
    return kept
