"""Whether data written with one version of a record can be read with another: Avro's schema resolution.

Source: Avro specification 1.12, "Schema Resolution". Unlike a registry's yes or no, every break names its field.
FULL compatibility is both directions; records of ours use names, never aliases, so aliases are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""A value written as the key can be read as any of these, besides itself."""


@dataclass(frozen=True, slots=True)
class Break:
    """One reason why a reader cannot read what a writer wrote."""

    path: str
    """Record and field, such as `penstock.accounts.v1.RecordUsage.model`."""
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def breaks_between(old: Any, new: Any) -> list[Break]:
    """Why `old` and `new` are not FULL compatible; empty where they are."""
    forward = [Break(b.path, f"old readers cannot read new data: {b.problem}") for b in reading_breaks(new, old)]
    backward = [Break(b.path, f"new readers cannot read old data: {b.problem}") for b in reading_breaks(old, new)]
    return backward + forward


def reading_breaks(writer: Any, reader: Any) -> list[Break]:
    """Why data written with `writer` cannot be read with `reader`; empty where all of it can."""
    names: dict[str, dict[str, Any]] = {}
    _collect_names(writer, "", names, "writer")
    _collect_names(reader, "", names, "reader")
    return _Resolution(names).breaks(writer, reader, _name_of(reader, ""))


class _Resolution:
    def __init__(self, names: dict[str, dict[str, Any]]) -> None:
        self._names = names
        self._in_progress: set[tuple[str, str]] = set()
        """Pairs of record names being compared: a record may contain itself."""

    def breaks(self, writer: Any, reader: Any, path: str) -> list[Break]:
        writer, reader = self._resolved(writer, "writer"), self._resolved(reader, "reader")
        if isinstance(writer, list):
            return [b for branch in writer for b in self.breaks(branch, reader, path)]
        if isinstance(reader, list):
            if any(not self.breaks(writer, branch, path) for branch in reader):
                return []
            return [Break(path, f"{_kind(writer)} is none of {', '.join(map(self._shown, reader))}")]
        written, read = _kind(writer), _kind(reader)
        if written != read:
            if read in PROMOTIONS.get(written, ()):
                return []
            return [Break(path, f"{written} cannot be read as {read}")]
        match written:
            case "record":
                return self._record_breaks(writer, reader, path)
            case "array":
                return self.breaks(writer["items"], reader["items"], f"{path}[]")
            case "map":
                return self.breaks(writer["values"], reader["values"], f"{path}{{}}")
            case "enum":
                lost = [s for s in writer["symbols"] if s not in reader["symbols"]]
                return [Break(path, f"enum symbol {s} is unknown") for s in lost if "default" not in reader]
            case "fixed":
                same = (writer["size"], writer["name"]) == (reader["size"], reader["name"])
                return [] if same else [Break(path, "fixed of another name or size")]
        return []

    def _record_breaks(self, writer: dict[str, Any], reader: dict[str, Any], path: str) -> list[Break]:
        # The specification compares unqualified names; so do the Java and the fastavro reader.
        if writer["name"].rpartition(".")[2] != reader["name"].rpartition(".")[2]:
            return [Break(path, f"record {writer['name']} cannot be read as {reader['name']}")]
        pair = (writer["name"], reader["name"])
        if pair in self._in_progress:
            return []
        self._in_progress.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        found: list[Break] = []
        for field in reader["fields"]:
            at = f"{path}.{field['name']}"
            if field["name"] in written:
                found += self.breaks(written[field["name"]]["type"], field["type"], at)
            elif "default" not in field:
                found.append(Break(at, "the field is not in the data and has no default"))
        self._in_progress.remove(pair)
        return found

    def _resolved(self, schema: Any, side: str) -> Any:
        if isinstance(schema, str):
            return self._names.get(f"{side}:{schema}", schema)
        return schema

    def _shown(self, schema: Any) -> str:
        return _kind(self._resolved(schema, "reader"))


def _kind(schema: Any) -> str:
    """The Avro type: a name for primitives, `record`, `array`, …"""
    if isinstance(schema, dict):
        return _kind(schema["type"])
    return "union" if isinstance(schema, list) else str(schema)


def _name_of(schema: Any, namespace: str) -> str:
    if not isinstance(schema, dict) or "name" not in schema:
        return _kind(schema)
    name = str(schema["name"])
    namespace = schema.get("namespace", namespace)
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _collect_names(schema: Any, namespace: str, names: dict[str, dict[str, Any]], side: str) -> None:
    """Every named type of `schema`, by its full and its short name: both may refer to it."""
    if isinstance(schema, list):
        for branch in schema:
            _collect_names(branch, namespace, names, side)
    elif isinstance(schema, dict):
        if schema["type"] in ("record", "enum", "fixed"):
            full = _name_of(schema, namespace)
            namespace = full.rpartition(".")[0]
            names[f"{side}:{full}"] = names[f"{side}:{full.rpartition('.')[2]}"] = schema
        for field in schema.get("fields", ()):
            _collect_names(field["type"], namespace, names, side)
        for inner in ("items", "values", "type"):
            if isinstance(schema.get(inner), dict | list):
                _collect_names(schema[inner], namespace, names, side)
