"""Which record becomes a row of which table: the loader's whole mapping, derived from topics and record types.

A topic's records go to the table named after it, and a field to the column of its name; a nested one
(`output_ref.size`) has an underscore for the dot. The exceptions are `OWN_TABLES` and `RENAMED`. A new field or
record type needs its column in a new file of `penstock_schemas/clickhouse`, and nothing here; a test tells when
one is missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyruhvro

from penstock_schemas import records as r
from penstock_schemas.avro_files import schema_of
from penstock_schemas.errors import ContractError
from penstock_schemas.topics import TOPICS, Topic

LOADED_KINDS = frozenset({"events", "progress", "dead-letters"})
"""Kinds of topics that are loaded."""
LOADED_TOPICS = tuple(topic for topic in TOPICS.values() if topic.kind in LOADED_KINDS)

OWN_TABLES: Mapping[type[r.Record], str] = {
    r.UsageCharged: "ledger",
    r.ChargeAdjusted: "ledger",
    r.UsageQuarantined: "usage_quarantine",
    r.PriceListed: "price_events",
    r.PriceRefused: "price_events",
}
"""Record types that do not share the table of their topic."""
RENAMED: Mapping[tuple[str, str], str] = {
    ("ledger", "event_id"): "line_id",
    ("price_events", "listed_by"): "list_event_id",
    ("price_events", "refused_event_id"): "list_event_id",
}
"""Column by (table, field), where the names differ."""
RECORD_TYPE = "record_type"
"""Column with the record's type, in the tables that several types share."""

MICROS = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a record type, and the column it becomes."""

    path: tuple[str, ...]
    """The field, or the field and the one inside its nested record."""
    name: str
    type: pa.DataType
    rule: Mapping[str, Any]
    """JSON schema of the values that the record type allows."""
    nullable: bool
    default: Any
    """Of a record whose writer did not know the field yet."""
    required: bool
    """Whether there is no default."""


def topic_table(topic: Topic) -> str:
    """Table of a topic's records: `penstock.executions.events.v1` is `executions_events`."""
    return topic.name.removeprefix("penstock.").removesuffix(".v1").replace(".", "_").replace("-", "_")


TABLE_OF: Mapping[type[r.Record], str] = {
    record_type: OWN_TABLES.get(record_type) or topic_table(topic)
    for topic in LOADED_TOPICS
    for record_type in topic.records
}
"""Table by record type, for everything that is loaded."""


SHARED_TABLES = frozenset(
    [topic_table(topic) for topic in LOADED_TOPICS if len(topic.records) > 1]
    + [table for table, kinds in Counter(TABLE_OF.values()).items() if kinds > 1]
)
"""Tables whose rows say their record type."""


@cache
def has_own_checks(record_type: type[r.Record]) -> bool:
    """Whether its values must also pass code, which no column can be asked."""
    checks = record_type.__pydantic_decorators__
    return bool(checks.validators or checks.field_validators or checks.model_validators or checks.root_validators)


@cache
def columns_of(record_type: type[r.Record]) -> tuple[Column, ...]:
    """The columns of a record type, in the order of its fields.

    Raises:
        ContractError: a field has a form that no column can take.
    """
    fields = pyruhvro.avro_to_arrow_schema(json.dumps(schema_of(record_type)))
    rules = record_type.model_json_schema(mode="validation")
    columns: list[Column] = []
    for name, info in record_type.model_fields.items():
        rule, nullable = _rule(rules, rules["properties"][name])
        default = info.get_default(call_default_factory=True) if not info.is_required() else None
        data_type = fields.field(name).type
        inner = [data_type.field(i) for i in range(data_type.num_fields)] if pa.types.is_struct(data_type) else []
        paths: list[tuple[tuple[str, ...], pa.DataType]] = [((name, each.name), each.type) for each in inner]
        for path, kind in paths or [((name,), data_type)]:
            own = _rule(rules, rule["properties"][path[1]])[0] if inner else rule
            column = RENAMED.get((TABLE_OF[record_type], name), "_".join(path))
            columns.append(
                Column(
                    path, column, _column_type(record_type, name, kind), own, nullable, default, info.is_required()
                )
            )
    return tuple(columns)


def _column_type(record_type: type[r.Record], field: str, data_type: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(data_type):
        return MICROS
    if pa.types.is_struct(data_type) or pa.types.is_list(data_type):
        raise ContractError(f"{record_type.__name__}.{field} is {data_type}, which no column of a table takes")
    return data_type


def _rule(rules: Mapping[str, Any], rule: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The rule itself, behind references and unions with null; and whether null is allowed."""
    options = [option for option in rule.get("anyOf", [rule]) if option.get("type") != "null"]
    (one,) = options
    if "$ref" in one:
        one = rules["$defs"][one["$ref"].rpartition("/")[2]]
    return one, "anyOf" in rule
