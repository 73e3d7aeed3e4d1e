"""Turning what an agent says into records of the contract."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from penstock.errors import InvalidInput
from penstock_schemas import records as r

MAX_NOTE_BYTES = 2048
"""Longer messages, names and summaries are cut: progress is to be looked at, results travel as output."""

T = TypeVar("T", bound=r.Record)


def valid(record_type: type[T], **fields: Any) -> T:
    """A record of `fields`.

    Raises:
        InvalidInput: the contract does not allow one of them; the message names it.
    """
    try:
        return record_type(**fields)
    except ValidationError as exc:
        problem = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        shown = repr(problem["input"])[:80]
        raise InvalidInput(f"{record_type.__name__}.{where}: {problem['msg']} (was {shown})") from exc


def note(text: str, limit_bytes: int = MAX_NOTE_BYTES) -> str:
    """`text` as UTF-8 of at most `limit_bytes`, cut at a character, lone surrogates replaced."""
    return text.encode(errors="replace")[:limit_bytes].decode(errors="ignore")


def pieces(text: str, limit_bytes: int) -> Iterator[str]:
    """`text` in order, in pieces of at most `limit_bytes` of UTF-8, lone surrogates replaced."""
    data = text.encode(errors="replace")
    while data:
        piece = data[:limit_bytes].decode(errors="ignore")  # drops a character cut in two
        yield piece
        data = data[len(piece.encode()) :]


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000
