"""How rows, timers and positions lie in the changelog and the store: one key byte, MessagePack values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar, Union

import msgspec

from penstock_streams.kit.api import Row
from penstock_streams.kit.errors import RowUnreadable

R = TypeVar("R", bound=Row)
POSITION_KEY: Final = b"p"
_ROW, TIMER_PREFIX = b"r", b"t"


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a task stands. A row of its changelog, so it commits with what it describes."""

    partitions: int
    """Partition count of the inputs when it was written."""
    next_offsets: Mapping[str, int]
    """By input topic."""
    timers_fired: int
    """Since the beginning; makes the ids of what timers emit unique."""


class TimerRow(msgspec.Struct, frozen=True, array_like=True):
    """A timer at rest."""

    due: int
    after_grace: bool


_encoder = msgspec.msgpack.Encoder()
_timer_decoder = msgspec.msgpack.Decoder(TimerRow)
_position_decoder = msgspec.msgpack.Decoder(Position)
encode = _encoder.encode
"""MessagePack of a row, timer or position."""


def row_key(key: str) -> bytes:
    return _ROW + key.encode()


def timer_key(name: str) -> bytes:
    return TIMER_PREFIX + name.encode()


def decode_timer(key: bytes, value: bytes) -> tuple[str, TimerRow]:
    """Name and content of a stored timer."""
    return key[1:].decode(), _timer_decoder.decode(value)


def decode_position(value: bytes) -> Position:
    return _position_decoder.decode(value)


class RowDecoder:
    """Decodes the rows of one stage.

    Args:
        row_types: told apart by their tags where there are several.
    """

    def __init__(self, row_types: tuple[type[Row], ...]) -> None:
        self._decoder: msgspec.msgpack.Decoder[Row] = msgspec.msgpack.Decoder(Union[row_types])  # noqa: UP007
        self._names = ", ".join(t.__name__ for t in row_types)

    def decode(self, key: str, value: bytes) -> Row:
        """The row stored under `key`.

        Raises:
            RowUnreadable: it fits none of the row types.
        """
        try:
            return self._decoder.decode(value)
        except msgspec.MsgspecError as exc:
            raise RowUnreadable(
                f"row {key!r} fits none of {self._names}: {exc}; deploy code that reads its predecessor's rows"
            ) from exc


class StoredRows:
    """The rows of a task as of its latest commit.

    Args:
        stored: reads the task's store by changelog key.
    """

    def __init__(self, decoder: RowDecoder, stored: Callable[[bytes], bytes | None]) -> None:
        self._decoder = decoder
        self._stored = stored

    def get(self, key: str, row_type: type[R]) -> R | None:
        """As `Rows.get`."""
        raw = self._stored(row_key(key))
        row = None if raw is None else self._decoder.decode(key, raw)
        if row is not None and not isinstance(row, row_type):
            raise TypeError(f"row {key!r} is a {type(row).__name__}, not a {row_type.__name__}")
        return row
