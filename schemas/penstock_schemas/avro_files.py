"""The `.avsc` files: the contract for every language, found by record type."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from penstock_schemas import records as r
from penstock_schemas.errors import ContractError

Schema = dict[str, Any]
"""An Avro schema as parsed JSON."""

RECORD_TYPES: dict[str, type[r.Record]] = {
    cls.full_name(): cls
    for name in r.__all__
    if isinstance(cls := getattr(r, name), type) and issubclass(cls, r.Record)
    if cls not in (r.Record, r.ProgressRecord)
}
"""Every concrete record type by its Avro full name."""


def path_of(full_name: str) -> str:
    """Path of a record's `.avsc` below `avro/`: the stage of its namespace, then its name."""
    *namespace, name = full_name.split(".")
    stage = namespace[1] if len(namespace) == 3 else "platform"
    return f"{stage}/{name}.avsc"


@cache
def schema_of(record_type: type[r.Record]) -> Schema:
    """The schema of `record_type`, as written in its `.avsc` file.

    Raises:
        ContractError: there is no such file.
    """
    relative = path_of(record_type.full_name())
    source = files("penstock_schemas").joinpath("avro", relative)
    if not source.is_file():
        raise ContractError(f"{record_type.full_name()} has no schema file avro/{relative}")
    schema: Schema = json.loads(source.read_text(encoding="utf-8"))
    return schema


def without_logical_types(schema: Any) -> Any:
    """`schema` with plain primitives: the bytes are the same, and timestamps stay integers (microseconds)."""
    if isinstance(schema, dict):
        return {k: without_logical_types(v) for k, v in schema.items() if k != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(item) for item in schema]
    return schema
