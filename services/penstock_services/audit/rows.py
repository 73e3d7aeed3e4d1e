"""What accounts keeps of budgets, as it lies in the changelog of its table. Pure.

Streams may not be imported here, and an audit should not trust the code that wrote what it checks. So these are
the audit's own few shapes: a row is a MessagePack map whose key begins with `r`, then its kind; `p` is the
position that was committed with it. A test holds them to the rows that accounts really writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

Coordinates = tuple[str, int, int]
"""Topic, partition, offset."""


class Amount(msgspec.Struct, frozen=True, array_like=True):
    """Tokens of all kinds, and nano-USD."""

    tokens: int = 0
    nanousd: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.nanousd + other.nanousd)


class Budget(msgspec.Struct, frozen=True, tag="budget"):
    """The row of one tenant or user."""

    period: str
    spent: Amount
    reserved: Amount


class Reservation(msgspec.Struct, frozen=True, tag="reservation"):
    """What an execution that has not ended may use."""

    budgets: tuple[str, ...]
    ceiling: Amount
    used: Amount

    def kept(self) -> Amount:
        tokens, nanousd = self.ceiling.tokens - self.used.tokens, self.ceiling.nanousd - self.used.nanousd
        return Amount(max(tokens, 0), max(nanousd, 0))


class Pool(msgspec.Struct, frozen=True, tag="pool"):
    """What a pipeline has reserved and no stage of it holds."""

    budgets: tuple[str, ...]
    left: Amount

    def kept(self) -> Amount:
        return self.left


class Unresolved(msgspec.Struct, frozen=True, tag="unresolved"):
    """What stays reserved for a call that was never reported."""

    budgets: tuple[str, ...]
    reserved: Amount

    def kept(self) -> Amount:
        return self.reserved


Held = Reservation | Pool | Unresolved


class _Waiting(msgspec.Struct, frozen=True, tag="unpriced-call"):
    line: dict[str, str | int | None]


class _Position(msgspec.Struct, frozen=True, array_like=True):
    partitions: int
    next_offsets: dict[str, int]


_BUDGET, _RESERVATION, _UNRESOLVED, _WAITING = b"rbudget/", b"rreservation/", b"runresolved/", b"runpriced-call/"
_POOL = b"rpool/"
_POSITION = b"p"
_budget = msgspec.msgpack.Decoder(Budget).decode
_held = msgspec.msgpack.Decoder(Held).decode
_waiting = msgspec.msgpack.Decoder(_Waiting).decode
_position = msgspec.msgpack.Decoder(_Position).decode


@dataclass
class Kept:
    """The rows of every partition, each as of one transaction of its task."""

    budgets: dict[str, Budget] = field(default_factory=dict)
    """By row key, `budget/<tenant>` or `budget/<tenant>/<user>`."""
    held: dict[bytes, Held] = field(default_factory=dict)
    waiting: dict[bytes, Coordinates] = field(default_factory=dict)
    """Usage that was reported and has no price yet."""
    read_to: dict[tuple[str, int], int] = field(default_factory=dict)
    """The first offset of each input that these rows had not seen."""

    def apply(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Take over one record of the changelog; one without a value deletes its row.

        Raises:
            msgspec.MsgspecError: the row is of another version of accounts than this audit knows.
        """
        if key == _POSITION and value is not None:
            self.read_to |= {(topic, partition): end for topic, end in _position(value).next_offsets.items()}
        elif key.startswith(_BUDGET) and value is not None:
            self.budgets[key[1:].decode()] = _budget(value)
        elif key.startswith((_RESERVATION, _POOL, _UNRESOLVED)):
            self.held.pop(key, None)
            if value is not None:
                self.held[key] = _held(value)
        elif key.startswith(_WAITING):
            self.waiting.pop(key, None)
            if value is not None:
                line = _waiting(value).line
                self.waiting[key] = (
                    str(line["usage_topic"]),
                    int(line["usage_partition"] or 0),
                    int(line["usage_offset"] or 0),
                )
