"""The pydantic models say exactly what the `.avsc` files say; the files are the contract for every language."""

from __future__ import annotations

from importlib.resources import files
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import fastavro
import pytest
from pydantic import BaseModel

from penstock_schemas import records as r
from penstock_schemas.avro_files import RECORD_TYPES, path_of, schema_of
from penstock_schemas.topics import ROUTED_BY_PARTITION, TOPICS, dispatch_topic

EVERY_RECORD = sorted(RECORD_TYPES.values(), key=lambda kind: kind.__name__)
PRIMITIVES = {str: "string", bytes: "bytes", bool: "boolean", float: "double"}
EVERY_TOPIC = list(TOPICS.values())


def avro_files() -> set[str]:
    root = files("penstock_schemas").joinpath("avro")
    return {f"{stage.name}/{file.name}" for stage in root.iterdir() for file in stage.iterdir()}


def said_by_schema(avro: Any) -> Any:
    """An Avro type in the terms both sides can be compared in; int and long are one Python type."""
    if isinstance(avro, list):
        assert avro[0] == "null", "null first, so that a null default is valid"
        (other,) = avro[1:]
        return ("optional", said_by_schema(other))
    if isinstance(avro, str):
        return "integer" if avro in ("int", "long") else avro
    match avro["type"]:
        case "array":
            return ("array", said_by_schema(avro["items"]))
        case "map":
            return ("map", said_by_schema(avro["values"]))
        case "record":
            return (avro["name"], fields_of_schema(avro))
    return said_by_schema(avro["type"])  # a logical type


def said_by_model(hint: Any) -> Any:
    """A Python type in the same terms."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return said_by_model(arguments[0])
    if origin in (Union, UnionType):
        (other,) = (argument for argument in arguments if argument is not NoneType)
        return ("optional", said_by_model(other))
    if origin is Literal:
        return "string"
    if origin is list:
        return ("array", said_by_model(arguments[0]))
    if origin is dict:
        assert arguments[0] is str
        return ("map", said_by_model(arguments[1]))
    if issubclass(hint, BaseModel):
        return (hint.__name__, fields_of_model(hint))
    return "integer" if hint is int else PRIMITIVES[hint]


def fields_of_schema(schema: Any) -> dict[str, Any]:
    return {field["name"]: said_by_schema(field["type"]) for field in schema["fields"]}


def fields_of_model(model: type[BaseModel]) -> dict[str, Any]:
    return {name: said_by_model(field.annotation) for name, field in model.model_fields.items()}


@pytest.mark.parametrize("kind", EVERY_RECORD, ids=lambda kind: kind.__name__)
def test_a_model_has_the_fields_types_and_nullability_of_its_schema(kind: type[r.Record]):
    schema = schema_of(kind)
    assert f"{schema['namespace']}.{schema['name']}" == kind.full_name()
    assert fields_of_model(kind) == fields_of_schema(schema)


@pytest.mark.parametrize("kind", EVERY_RECORD, ids=lambda kind: kind.__name__)
def test_a_model_has_the_defaults_of_its_schema(kind: type[r.Record]):
    stamped_by_the_writer = {"event_id", "occurred_at"}
    by_model = {
        name: field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
        if not field.is_required() and name not in stamped_by_the_writer
    }
    by_schema = {field["name"]: field["default"] for field in schema_of(kind)["fields"] if "default" in field}
    assert by_model == by_schema


def test_every_file_has_a_class_and_every_class_a_file():
    assert avro_files() == {path_of(name) for name in RECORD_TYPES}


@pytest.mark.parametrize("kind", EVERY_RECORD, ids=lambda kind: kind.__name__)
def test_a_schema_is_valid_avro(kind: type[r.Record]):
    fastavro.parse_schema(schema_of(kind))


@pytest.mark.parametrize("topic", EVERY_TOPIC, ids=lambda topic: topic.name)
def test_a_topic_carries_records_that_have_its_routing_field(topic: Any):
    assert topic.records
    for kind in topic.records:
        assert kind.full_name() in RECORD_TYPES
        assert topic.routing_field in kind.model_fields or kind in ROUTED_BY_PARTITION


def test_every_record_is_carried_by_a_topic():
    assert {kind for topic in EVERY_TOPIC for kind in topic.records} == set(EVERY_RECORD)


@pytest.mark.parametrize(
    ("schema", "model", "said"),
    [
        ("long", str, False),
        (["null", "string"], str, False),
        ("int", int, True),
        (["null", "int"], int | None, True),
    ],
)
def test_the_comparison_itself_sees_a_difference(schema: Any, model: Any, said: bool):
    """The control of the tests above."""
    assert (said_by_schema(schema) == said_by_model(model)) is said


def test_each_repeat_of_a_hint_goes_to_the_partition_after_the_one_before():
    topic = dispatch_topic("q")
    hints = [
        r.ExecutionDispatched(
            tenant_id="a", execution_id="e", request_id="r", agent_type="x", timeout_s=1, epoch=1, dispatch_seq=seq
        )
        for seq in range(1, 8)
    ]
    partitions = [topic.partition_of(hint, 3) for hint in hints]
    assert partitions == [(partitions[0] + n) % 3 for n in range(7)]
