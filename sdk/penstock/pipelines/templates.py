"""Prompt templates: what a stage is told, made of the pipeline's input and of what earlier stages said. Pure.

A placeholder is exactly `{previous_output}`, `{initial_input}` or `{outputs.<name of an earlier stage>}`. A brace
that begins like one must be one; any other brace is text, so a prompt may show JSON or code as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.errors import InvalidTemplate

PREVIOUS_OUTPUT = "previous_output"
INITIAL_INPUT = "initial_input"
OUTPUT_OF = "outputs."
"""Before the name of a stage."""
DEFAULT_TEMPLATE = "{previous_output}"
"""Of every stage but the first, which gets the pipeline's input."""

_NAME = r"[^{}\r\n]+"
_BRACE = re.compile(
    rf"\{{(?P<placeholder>previous_output|initial_input|outputs\.{_NAME})\}}"
    # What only begins like one: `{outputs.` without its end, `{outputs}`, `{ initial_input }`, `{initial_inputs}`.
    r"|(?P<almost>\{[ \t]*(?:(?:previous_outputs?|initial_inputs?)\b|outputs(?:\.|[ \t]*\}))[^{}\r\n]*\}?)"
)
_WORD_IN_BRACES = re.compile(r"\{[ \t]*[A-Za-z_][\w.]*[ \t]*\}")


def placeholders(template: str) -> tuple[str, ...]:
    """What `template` refers to, without the braces and in the order of the text, each as often as it is there.

    Raises:
        InvalidTemplate: a brace begins like a placeholder and is none.
    """
    found = []
    for brace in _BRACE.finditer(template):
        if brace["placeholder"] is None:
            raise InvalidTemplate(brace["almost"], _why(brace["almost"]))
        found.append(brace["placeholder"])
    return tuple(found)


def render(template: str, values: Mapping[str, str]) -> str:
    """`template` with each placeholder replaced by its value, once: what a value contains stays text.

    Args:
        template: the text.
        values: by the names `placeholders` returns.

    Raises:
        InvalidTemplate: as `placeholders`, or a value is missing.
    """

    def value_of(brace: re.Match[str]) -> str:
        name = brace["placeholder"]
        if name is None:
            raise InvalidTemplate(brace["almost"], _why(brace["almost"]))
        if name not in values:
            raise InvalidTemplate(brace[0], "there is no such output")
        return values[name]

    return _BRACE.sub(value_of, template)


def left_alone(template: str) -> tuple[str, ...]:
    """Words in braces that are no placeholders and stay as they are: perhaps misspelt ones."""
    return tuple(text for text in _WORD_IN_BRACES.findall(template) if not _BRACE.fullmatch(text))


def _why(almost: str) -> str:
    if not almost.endswith("}"):
        return "the closing brace is missing"
    if almost.strip("{} \t").rstrip(".") == "outputs":
        return "name a stage: {outputs.NAME}"
    return "placeholders are exactly {previous_output}, {initial_input} and {outputs.NAME}"
