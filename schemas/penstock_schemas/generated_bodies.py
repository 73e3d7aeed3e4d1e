"""Avro bodies by generated Python: for each schema one function with a few statements per field, no tree to walk.

Every record of the contract can be generated; docs/decisions/0004-generated-avro-bodies.md says what that buys.
Tests hold every body to fastavro's byte by byte. Encoding: Avro 1.12 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any

from penstock_schemas.avro_files import Schema

PLAIN = ("string", "bytes", "int", "long", "boolean", "double")
STAMPS = ("event_id", "occurred_at")
"""Fields of a record that whoever writes it may set."""


def can_generate(avro: Any) -> bool:
    """Whether every part is a plain type, or null or one, a map, an array or a record of such; no logical types.

    An empty record cannot: a few bytes could claim any number of them in an array.
    """
    match avro:
        case str():
            return avro in PLAIN
        case ["null", inner]:
            return can_generate(inner)
        case {"type": "record", "fields": [*fields]}:
            return bool(fields) and all(can_generate(field["type"]) for field in fields)
        case {"type": "map", "values": inner} | {"type": "array", "items": inner}:
            return can_generate(inner)
        case {"type": inner}:
            return can_generate(inner)
    return False


def generated_decoder(schema: Schema) -> Callable[[bytes, int], dict[str, Any]]:
    """A function (value, start) → fields; ValueError, IndexError or struct.error on anything but one body."""
    source = _Source("def function(value, i):")
    fields = _read(source, schema, 1)
    source.add(1, "if i != len(value): raise ValueError(f'{len(value) - i} bytes after the end of the body')")
    source.add(1, f"return {fields}")
    decode: Callable[[bytes, int], dict[str, Any]] = source.function()
    return decode


def generated_encoder(schema: Schema) -> Callable[[bytes, object, str, int], bytes]:
    """A function (frame, record, event_id, occurred_at) → bytes, which raises what a wrong value leads it to.

    It reads the record's attributes from its `__dict__`, but `STAMPS` from its arguments.
    """
    source = _Source("def function(frame, record, event_id, occurred_at):")
    parts = _write_record(source, schema, "record", 1, stamps=STAMPS)
    source.add(1, f"return b''.join((frame, {', '.join(parts)}))")
    encode: Callable[[bytes, object, str, int], bytes] = source.function()
    return encode


class _Source:
    """Lines of a function, and names for its variables."""

    def __init__(self, head: str) -> None:
        self._lines = [head]
        self._names = 0

    def add(self, depth: int, *lines: str) -> None:
        self._lines += ["    " * depth + line for line in lines]

    def name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def function(self) -> Any:
        """Run the source. Of a schema it holds nothing but field names, quoted: no schema can inject code."""
        names = dict(_GLOBALS)
        exec("\n".join(self._lines), names)
        return names["function"]


def _read(source: _Source, avro: Any, depth: int) -> str:
    """Add the statements that read one value at `i`; the expression that is the value then."""
    match avro:
        case ["null", inner]:
            found = source.name()
            source.add(depth, "branch = value[i]; i += 1", f"if branch == 0: {found} = None")
            source.add(depth, "elif branch != 2: raise ValueError('no such branch of a union')", "else:")
            source.add(depth + 1, f"{found} = {_read(source, inner, depth + 1)}")
            return found
        case {"type": "record", "fields": fields}:
            values = [f"{field['name']!r}: {_read(source, field['type'], depth)}" for field in fields]
            return f"{{{', '.join(values)}}}"
        case {"type": "map", "values": inner}:
            return _read_blocks(source, inner, depth, empty="{}", keyed=True)
        case {"type": "array", "items": inner}:
            return _read_blocks(source, inner, depth, empty="[]", keyed=False)
        case {"type": inner}:
            return _read(source, inner, depth)
    found = source.name()
    source.add(depth, *(line.format(v=found) for line in _READ[avro]))
    return found


def _read_blocks(source: _Source, inner: Any, depth: int, *, empty: str, keyed: bool) -> str:
    found, count = source.name(), source.name()
    source.add(depth, f"{found} = {empty}", "while True:")
    source.add(depth + 1, *(line.format(v=count) for line in _READ["long"]), f"if {count} == 0: break")
    source.add(depth + 1, f"if {count} < 0: {count} = -{count}; i = skipped_number(value, i)")
    source.add(depth + 1, f"for _ in range({count}):")
    key = _read(source, "string", depth + 2) if keyed else ""
    item = _read(source, inner, depth + 2)
    source.add(depth + 2, f"{found}[{key}] = {item}" if keyed else f"{found}.append({item})")
    return found


def _write_record(source: _Source, avro: Any, record: str, depth: int, stamps: tuple[str, ...] = ()) -> list[str]:
    fields = source.name()
    source.add(depth, f"{fields} = {record}.__dict__")
    parts: list[str] = []
    for field in avro["fields"]:
        name = field["name"]
        parts += _write(source, field["type"], name if name in stamps else f"{fields}[{name!r}]", depth)
    return parts


def _write(source: _Source, avro: Any, value: str, depth: int) -> list[str]:
    """Add the statements that prepare one value; the expressions whose bytes, joined, are its encoding."""
    match avro:
        case ["null", inner]:
            found = source.name()
            source.add(depth, f"{found} = {value}", f"if {found} is None: {found} = NULL", "else:")
            parts = _write(source, inner, found, depth + 1)
            source.add(depth + 1, f"{found} = b''.join((SOME, {', '.join(parts)}))")
            return [found]
        case {"type": "record"}:
            return _write_record(source, avro, value, depth)
        case {"type": "map", "values": inner}:
            return _write_block(source, inner, value, depth, keyed=True)
        case {"type": "array", "items": inner}:
            return _write_block(source, inner, value, depth, keyed=False)
        case {"type": inner}:
            return _write(source, inner, value, depth)
    found = source.name()
    source.add(depth, f"{found} = {_PREPARED[avro].format(v=value)}")
    return [part.format(v=found) for part in _WRITTEN[avro]]


def _write_block(source: _Source, inner: Any, value: str, depth: int, *, keyed: bool) -> list[str]:
    given, block, key, item = source.name(), source.name(), source.name(), source.name()
    source.add(depth, f"{given} = {value}", f"{block} = [number(len({given}))] if {given} else []")
    source.add(depth, f"for {key}, {item} in {given}.items():" if keyed else f"for {item} in {given}:")
    parts = _write(source, "string", key, depth + 1) if keyed else []
    parts += _write(source, inner, item, depth + 1)
    source.add(depth + 1, f"{block} += ({', '.join(parts)},)")
    source.add(depth, f"{block}.append(END)")
    return [f"*{block}"]


_LENGTH = (
    "n = value[i]; i += 1",
    "if n > 127: n, i = more(value, i, n)",
    "if n & 1: raise ValueError('negative length')",
)
_NUMBER = ("n = value[i]; i += 1", "if n > 127: n, i = more(value, i, n)", "{v} = (n >> 1) ^ -(n & 1)")
_READ = {
    "string": (*_LENGTH, "end = i + (n >> 1); {v} = str(value[i:end], 'utf-8'); i = end"),
    "bytes": (*_LENGTH, "end = i + (n >> 1); {v} = value[i:end]; i = end"),
    "int": _NUMBER,
    "long": _NUMBER,
    "boolean": ("{v} = BOOLEANS[value[i]]; i += 1",),
    "double": ("({v},) = double.unpack_from(value, i); i += 8",),
}
_PREPARED = {
    "string": "{v}.encode()",
    "bytes": "bytes({v})",
    "int": "{v}",
    "long": "{v}",
    "boolean": "{v}",
    "double": "{v}",
}
_WRITTEN = {
    "string": ("number(len({v}))", "{v}"),
    "bytes": ("number(len({v}))", "{v}"),
    "int": ("number({v})",),
    "long": ("number({v})",),
    "boolean": ("BOOLEAN[{v}]",),
    "double": ("double.pack({v})",),
}


@lru_cache(maxsize=16_384)  # lengths, counts and the time of a batch come again and again
def _zigzag(number: int) -> bytes:
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError(f"{number} does not fit 64 bits")
    left, encoded = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


def _more(value: bytes, i: int, first: int) -> tuple[int, int]:
    """The rest of a number whose first byte says that it goes on, and where it ends."""
    number, shift = first & 0x7F, 7
    while True:
        byte = value[i]
        i += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, i
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _skipped_number(value: bytes, i: int) -> int:
    """Where the number at `i` ends: the size in bytes that goes before a block with a negative count."""
    return _more(value, i, 0x80)[1]


_GLOBALS = {
    "number": _zigzag,
    "double": Struct("<d"),
    "more": _more,
    "skipped_number": _skipped_number,
    "NULL": b"\x00",
    "SOME": b"\x02",
    "END": b"\x00",
    "BOOLEAN": {False: b"\x00", True: b"\x01"},
    "BOOLEANS": (False, True),
}
