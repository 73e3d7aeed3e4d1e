"""What arguments for texts mean: the text itself, @FILE, or - for standard input; and a FILE with a definition."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.artifacts import MAX_PAYLOAD_BYTES
from penstock.errors import InvalidInput

if TYPE_CHECKING:
    from penstock.pipelines.definition import PipelineDefinition

STANDARD_INPUT = "standard input"


def input_text(given: str, option: str = "--input") -> str:
    """The text that `--input`, or another argument named `option`, means.

    Raises:
        InvalidInput: no such file, too large, or not UTF-8.
    """
    if given == "-":
        name, content = STANDARD_INPUT, sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
    elif given.startswith("@"):
        hint = f"; a text that begins with @ goes through standard input: {option} -"
        name, content = given[1:], _beginning(given[1:], MAX_PAYLOAD_BYTES + 1, f"{option}: ", hint)
    else:
        return given
    if len(content) > MAX_PAYLOAD_BYTES:
        raise InvalidInput(f"{option}: {name} is above {MAX_PAYLOAD_BYTES} bytes")
    return _decoded(content, f"{option}: {name}")


def definition_in(file: str) -> PipelineDefinition:
    """The pipeline that a file, or - for standard input, defines.

    Raises:
        InvalidInput: no such file, too large, not UTF-8, or not a definition.
    """
    from penstock.pipelines.files import MAX_DEFINITION_BYTES, parsed

    at_most = MAX_DEFINITION_BYTES + 1
    if file == "-":
        name, content = STANDARD_INPUT, sys.stdin.buffer.read(at_most)
    else:
        name, content = file, _beginning(file, at_most)
    return parsed(_decoded(content, name), name)


def _beginning(file: str, at_most: int, option: str = "", hint: str = "") -> bytes:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(at_most)
    except OSError as exc:
        raise InvalidInput(f"{option}{file} cannot be read: {exc.strerror}{hint}") from exc


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        at = f"byte 0x{content[exc.start]:02x} at position {exc.start}"
        raise InvalidInput(f"{name} is not UTF-8 text ({at})") from exc
