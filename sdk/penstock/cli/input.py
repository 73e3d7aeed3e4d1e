"""What `--input` means: the text itself, @FILE, or - for standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.artifacts import MAX_PAYLOAD_BYTES
from penstock.errors import InvalidInput


def input_text(given: str, option: str = "--input") -> str:
    """The text that `--input`, or another argument named `option`, means.

    Raises:
        InvalidInput: no such file, too large, or not UTF-8.
    """
    if given == "-":
        name, content = "standard input", sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
    elif given.startswith("@"):
        name, content = given[1:], _file_content(Path(given[1:]), option)
    else:
        return given
    if len(content) > MAX_PAYLOAD_BYTES:
        raise InvalidInput(f"{option}: {name} is above {MAX_PAYLOAD_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        at = f"byte 0x{content[exc.start]:02x} at position {exc.start}"
        raise InvalidInput(f"{option}: {name} is not UTF-8 text ({at})") from exc


def _file_content(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PAYLOAD_BYTES + 1)
    except OSError as exc:
        raise InvalidInput(
            f"{option}: {path} cannot be read: {exc.strerror}; a text that begins with @ "
            f"goes through standard input: {option} -"
        ) from exc
