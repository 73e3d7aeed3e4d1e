"""Avro bodies of flat records, whose fields are strings, bytes, whole numbers and booleans, some nullable.

Most of our records are flat and the hot ones all are. For each schema one Python function is generated, with a few
statements per field and no loop over them; see docs/decisions/0004-generated-avro-bodies.md for what that buys.
Tests hold every body to fastavro's byte by byte. Encoding: Avro 1.12 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from penstock_schemas.avro_files import Schema

PLAIN = ("string", "bytes", "int", "long", "boolean")
STAMPS = ("event_id", "occurred_at")
"""Fields that whoever writes the record may set."""


def is_flat(schema: Schema) -> bool:
    """Whether every field is plain, or null or plain in that order; no logical types."""
    return all(_plain_type(field["type"]) is not None for field in schema["fields"])


def flat_decoder(schema: Schema) -> Callable[[bytes, int], dict[str, Any]]:
    """A function (value, start) → fields, which raises ValueError or IndexError on anything but one body."""
    lines, names = ["def function(value, i):"], []
    for number, field in enumerate(schema["fields"]):
        kind, nullable = _kind(field["type"])
        read = [line.format(v=f"v{number}") for line in _READ[kind]]
        lines += [line.format(v=f"v{number}") for line in _READ_NULLABLE] if nullable else []
        lines += [("        " if nullable else "    ") + line for line in read]
        names.append(f"{field['name']!r}: v{number}")
    lines += [
        "    if i != len(value):",
        "        raise ValueError(f'{len(value) - i} bytes after the end of the body')",
        f"    return {{{', '.join(names)}}}",
    ]
    decode: Callable[[bytes, int], dict[str, Any]] = _function(lines)
    return decode


def flat_encoder(schema: Schema) -> Callable[[bytes, object, str, int], bytes]:
    """A function (frame, record, event_id, occurred_at) → bytes, which raises what a wrong value leads it to.

    It reads the record's attributes from its `__dict__`, but `event_id` and `occurred_at` from its arguments.
    """
    lines, parts = (
        ["def function(frame, record, event_id, occurred_at):", "    fields = record.__dict__"],
        ["frame"],
    )
    for number, field in enumerate(schema["fields"]):
        kind, nullable = _kind(field["type"])
        name = field["name"]
        lines.append(f"    v{number} = {name if name in STAMPS else f'fields[{name!r}]'}")
        if nullable:
            some = " + ".join(["SOME", *_WRITTEN[kind]]).format(v=f"v{number}")
            lines.append(f"    if v{number} is None: v{number} = NULL")
            lines.append("    else:")
            lines += ["        " + line.format(v=f"v{number}") for line in _WRITE[kind]]
            lines.append(f"        v{number} = {some}")
            parts.append(f"v{number}")
        else:
            lines += ["    " + line.format(v=f"v{number}") for line in _WRITE[kind]]
            parts += [part.format(v=f"v{number}") for part in _WRITTEN[kind]]
    lines.append(f"    return b''.join(({', '.join(parts)},))")
    encode: Callable[[bytes, object, str, int], bytes] = _function(lines)
    return encode


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
}
_READ_NULLABLE = (
    "    branch = value[i]; i += 1",
    "    if branch == 0: {v} = None",
    "    elif branch != 2: raise ValueError('no such branch of a union')",
    "    else:",
)
_WRITE = {
    "string": ("{v} = {v}.encode()",),
    "bytes": ("{v} = bytes({v})",),
    "int": (),
    "long": (),
    "boolean": (),
}
_WRITTEN = {
    "string": ("number(len({v}))", "{v}"),
    "bytes": ("number(len({v}))", "{v}"),
    "int": ("number({v})",),
    "long": ("number({v})",),
    "boolean": ("BOOLEAN[{v}]",),
}


def _kind(avro: Any) -> tuple[str, bool]:
    """The plain type of a field and whether it is nullable."""
    kind = _plain_type(avro)
    assert kind is not None
    return kind, isinstance(avro, list)


def _plain_type(avro: Any) -> str | None:
    if isinstance(avro, list):
        return _plain_type(avro[1]) if len(avro) == 2 and avro[0] == "null" else None
    if isinstance(avro, dict):
        avro = avro.get("type")
    return avro if isinstance(avro, str) and avro in PLAIN else None


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


_NAMES = {
    "number": _zigzag,
    "more": _more,
    "NULL": b"\x00",
    "SOME": b"\x02",
    "BOOLEAN": {False: b"\x00", True: b"\x01"},
    "BOOLEANS": (False, True),
}


def _function(lines: list[str]) -> Any:
    """Run generated source. Of a schema it holds nothing but field names, quoted: no schema can inject code."""
    names = dict(_NAMES)
    exec("\n".join(lines), names)
    return names["function"]
