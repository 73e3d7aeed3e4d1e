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
        name, content = given[1:], _file_content(Path(given[1:]), option)
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

    if file == "-":
        name, content = STANDARD_INPUT, sys.stdin.buffer.read(MAX_DEFINITION_BYTES + 1)
    else:
        try:
            with Path(file).open("rb") as opened:
                name, content = file, opened.read(MAX_DEFINITION_BYTES + 1)
        except OSError as exc:
            raise InvalidInput(f"{file} cannot be read: {exc.strerror}") from exc
    return parsed(_decoded(content, name), name)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        at = f"byte 0x{content[exc.start]:02x} at position {exc.start}"
        raise InvalidInput(f"{name} is not UTF-8 text ({at})") from exc


def _file_content(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PAYLOAD_BYTES + 1)
    except OSError as exc:
        raise InvalidInput(
            f"{option}: {path} cannot be read: {exc.strerror}; a text that begins with @ "
            f"goes through standard input: {option} -"
        ) from exc
