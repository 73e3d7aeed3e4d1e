"""FULL_TRANSITIVE: every edit that would leave somebody's data unreadable is found, with its record and field."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.cli import schemas as schemas_command
from penstock_schemas.avro_files import path_of, schema_of
from penstock_schemas.compatibility import breaks_between, reading_breaks
from penstock_schemas.history import breaks_with, current, released
from penstock_schemas.records import RecordUsage

USAGE = schema_of(RecordUsage)
NAME = RecordUsage.full_name()
Edit = Callable[[dict[str, Any]], object]


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(f for f in schema["fields"] if f["name"] == name)


def edited(edit: Edit) -> dict[str, Any]:
    schema = copy.deepcopy(USAGE)
    edit(schema)
    return schema


BREAKING: dict[str, tuple[Edit, str]] = {
    "a field without a default is added": (
        lambda s: s["fields"].append({"name": "region", "type": "string"}),
        f"{NAME}.region: new readers cannot read old data: the field is not in the data and has no default",
    ),
    "a field without a default is removed": (
        lambda s: s["fields"].remove(field(s, "model")),
        f"{NAME}.model: old readers cannot read new data: the field is not in the data and has no default",
    ),
    "a field is renamed": (
        lambda s: field(s, "model").update(name="model_name"),
        f"{NAME}.model: old readers cannot read new data: the field is not in the data and has no default",
    ),
    "a default is taken away from a field the old data lacks": (
        lambda s: s["fields"].append({"name": "extra", "type": ["null", "string"]}),
        f"{NAME}.extra: new readers cannot read old data: the field is not in the data and has no default",
    ),
    "a type changes": (
        lambda s: field(s, "input_tokens").update(type="string"),
        f"{NAME}.input_tokens: new readers cannot read old data: long cannot be read as string",
    ),
    "a type is widened, which only one side can read": (
        lambda s: field(s, "epoch").update(type=["null", "long"]),
        f"{NAME}.epoch: old readers cannot read new data: long is none of null, int",
    ),
    "null is allowed, which old readers do not know": (
        lambda s: field(s, "model").update(type=["null", "string"]),
        f"{NAME}.model: old readers cannot read new data: null cannot be read as string",
    ),
    "null is no longer allowed": (
        lambda s: field(s, "user_id").update(type="string"),
        f"{NAME}.user_id: new readers cannot read old data: null cannot be read as string",
    ),
    "a union loses a branch": (
        lambda s: field(s, "execution_id").update(type=["null", "long"]),
        f"{NAME}.execution_id: new readers cannot read old data: string is none of null, long",
    ),
    "the record is renamed": (
        lambda s: s.update(name="ReportUsage"),
        "record RecordUsage cannot be read as ReportUsage",
    ),
}
HARMLESS: dict[str, Edit] = {
    "nothing": lambda s: None,
    "a field with a default is added": lambda s: s["fields"].append({"name": "x", "type": "long", "default": 0}),
    "a field with a default is removed": lambda s: s["fields"].remove(field(s, "cache_read_tokens")),
    "a doc changes": lambda s: s.update(doc="better"),
    "the order changes": lambda s: s["fields"].reverse(),
}


@pytest.mark.parametrize("what", BREAKING)
def test_a_breaking_edit_is_found_with_its_record_and_field(what: str):
    edit, expected = BREAKING[what]
    assert any(expected in str(b) for b in breaks_between(USAGE, edited(edit))), breaks_between(
        USAGE, edited(edit)
    )


@pytest.mark.parametrize("what", HARMLESS)
def test_a_harmless_edit_is_let_through(what: str):
    assert breaks_between(USAGE, edited(HARMLESS[what])) == []


PRIMITIVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "string", "bytes"])


def named(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Records of up to three fields out of the same four names, so that versions overlap."""
    one = st.tuples(types, st.booleans()).map(
        lambda drawn: (
            {"type": ["null", drawn[0]], "default": None}
            if drawn[1] and isinstance(drawn[0], str) and drawn[0] != "null"
            else {"type": drawn[0]}
        )
    )
    return st.dictionaries(st.sampled_from("abcd"), one, max_size=3).map(
        lambda fields: {
            "type": "record",
            "name": "R",
            "fields": [{"name": n} | _own(n, f) for n, f in fields.items()],
        }
    )


def _own(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """`field`, its enum named after it: Avro allows a name once."""
    if isinstance(field["type"], dict) and field["type"]["type"] == "enum":
        return field | {"type": field["type"] | {"name": f"E{name}"}}
    return field


INNER = PRIMITIVES | st.one_of(
    PRIMITIVES.map(lambda t: {"type": "array", "items": t}),
    PRIMITIVES.map(lambda t: {"type": "map", "values": t}),
    st.lists(PRIMITIVES, min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from("XYZ"), min_size=1, unique=True).map(
        lambda symbols: {"type": "enum", "name": "E", "symbols": symbols}
    ),
)


@settings(max_examples=1500, deadline=None)
@given(writer=named(INNER), reader=named(INNER))
def test_the_verdict_is_that_of_apaches_own_checker(writer: dict[str, Any], reader: dict[str, Any]):
    theirs = ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer))
    )
    assert (reading_breaks(writer, reader) == []) is (
        theirs.compatibility is SchemaCompatibilityType.compatible
    ), theirs.messages


def test_the_contract_is_compatible_with_every_release():
    releases = released()
    assert "0.1" in releases
    assert [b for release in releases.values() for b in breaks_with(release, current())] == []


def test_the_snapshot_of_a_release_is_whole():
    """What is missing from it would not be checked."""
    assert len(released()["0.1"]) == 33


def test_a_released_record_that_is_gone_is_a_break():
    now = current()
    del now[path_of(NAME)]
    assert [str(b) for b in breaks_with(released()["0.1"], now)] == [
        f"{NAME}: the record was released and is gone"
    ]


def test_the_command_exits_1_and_names_record_and_field(monkeypatch: pytest.MonkeyPatch, capsys):
    now = current() | {path_of(NAME): edited(BREAKING["a type changes"][0])}
    monkeypatch.setattr(schemas_command, "current", lambda: now)
    with pytest.raises(schemas_command.typer.Exit) as caught:
        schemas_command.check(offline=True)
    assert caught.value.exit_code == 1
    assert f"BREAK against release 0.1: {NAME}.input_tokens" in capsys.readouterr().out
