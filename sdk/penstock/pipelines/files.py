"""Reading a definition from YAML or JSON text. Pure."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

from penstock.errors import InvalidPipeline
from penstock.pipelines.definition import PipelineDefinition, definition_of

MAX_DEFINITION_BYTES = 2 * 1024 * 1024
"""Above what one record carries, also with comments; what is larger is no definition."""


def parsed(text: str, source: str = "the definition") -> PipelineDefinition:
    """The definition in `text`: JSON where it begins with a brace and is JSON, else YAML.

    Args:
        text: the text.
        source: how errors name it.

    Raises:
        InvalidPipeline: it cannot be read, or what it says cannot be run.
    """
    if (size := len(text.encode(errors="surrogatepass"))) > MAX_DEFINITION_BYTES:
        raise InvalidPipeline("syntax", source, "", f"{size:,} bytes; at most {MAX_DEFINITION_BYTES:,} are read")
    if not text.strip():
        raise InvalidPipeline("syntax", source, "", "is empty")
    try:
        value = _json(text) if text.lstrip().startswith("{") else _yaml(text)
    except json.JSONDecodeError as exc:
        try:
            value = _yaml(text)  # which has braces, too
        except (yaml.YAMLError, ValueError, RecursionError):
            why = f"is neither JSON nor YAML: {exc.msg} in line {exc.lineno}, column {exc.colno}"
            raise InvalidPipeline("syntax", source, "", why) from exc
    except yaml.YAMLError as exc:
        raise InvalidPipeline("syntax", source, "", f"is not YAML: {_first_lines(exc)}") from exc
    except RecursionError as exc:
        raise InvalidPipeline("syntax", source, "", "is nested too deeply") from exc
    except ValueError as exc:  # PyYAML on 2026-99-99, json on a number of ten thousand digits
        raise InvalidPipeline("syntax", source, "", f"holds a value that cannot be read: {exc}") from exc
    if not isinstance(value, dict):
        why = f"must be an object with name and stages, not {type(value).__name__}"
        raise InvalidPipeline("syntax", source, "", why)
    return definition_of(value)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidPipeline("duplicate_key", "", key, "the key is there twice in one object")
        found[key] = value
    return found


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_StrictLoader)


class _StrictLoader(yaml.SafeLoader):
    """Plain values only; a repeated key is refused, where YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            line = f"line {key.start_mark.line + 1}"
            if key.tag == "tag:yaml.org,2002:merge":  # a few of them nested fill the memory
                raise InvalidPipeline("syntax", line, "<<", "merged objects are not supported; use an alias")
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidPipeline("syntax", line, "", "a key must be plain text")
            if key.value in seen:
                raise InvalidPipeline("duplicate_key", line, key.value, "the key is there twice in one object")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _first_lines(exc: yaml.YAMLError) -> str:
    mark = getattr(exc, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{getattr(exc, 'problem', None) or str(exc).splitlines()[0]}{where}"
