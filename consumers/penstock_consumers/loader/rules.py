"""What a record type allows, asked of a whole column at once; in doubt the answer is no, and the codec decides."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from penstock_consumers.loader.tables import Column
from penstock_schemas.errors import ContractError, InvalidRecord
from penstock_schemas.records import Record

LATEST_MICROS = 9_224_318_015_999_999
"""2262-04-11: the last instant that ClickHouse's DateTime64 computes with at any precision."""
SAYS_NOTHING = frozenset({"type", "title", "description", "default", "format", "required"})
"""Words of JSON schema that the Avro type implies already, or that are for readers."""
COMPARED = {
    "minimum": pc.greater_equal,
    "exclusiveMinimum": pc.greater,
    "maximum": pc.less_equal,
    "exclusiveMaximum": pc.less,
}


def allowed(column: Column, values: pa.Array) -> pa.Array:
    """Which of `values`, in the column's type, its record type and ClickHouse allow.

    Raises:
        ContractError: the record type has a rule that cannot be asked of a column.
    """
    verdicts = [v for word, bound in column.rule.items() if (v := _verdict(word, bound, values)) is not None]
    if pa.types.is_timestamp(values.type):
        verdicts.append(pc.less_equal(values.cast(pa.int64()), LATEST_MICROS))
    if not verdicts:
        verdicts.append(pc.if_else(pc.is_valid(values), True, None))
    return pc.fill_null(reduce(pc.and_, verdicts), column.nullable)


def check_times(record: Record, columns: tuple[Column, ...]) -> None:
    """Raise `InvalidRecord` for a time that Avro can carry and ClickHouse would store as another one."""
    for column in columns:
        if pa.types.is_timestamp(column.type) and getattr(record, column.path[0], 0) > LATEST_MICROS:
            raise InvalidRecord(
                f"{type(record).__name__}: {column.path[0]} is after the year 2262, which no table can hold"
            )


def _verdict(word: str, bound: Any, values: pa.Array) -> pa.Array | None:
    """Whether each value keeps to one word of a JSON schema; None where each does by its type."""
    if word in SAYS_NOTHING:
        return None
    if word == "additionalProperties" and isinstance(bound, dict) and set(bound) <= SAYS_NOTHING:
        return None
    if word in COMPARED:
        return _compared(word, bound, values)
    if word == "minLength":
        return pc.greater_equal(pc.utf8_length(values), bound)
    if word == "maxLength":
        return pc.less_equal(pc.utf8_length(values), bound)
    if word == "enum":
        return pc.is_in(values, value_set=pa.array(bound, values.type))
    if word == "pattern":
        distinct = values.dictionary_encode()  # a regular expression costs more than finding repeats
        return pc.match_substring_regex(distinct.dictionary, bound).take(distinct.indices)
    raise ContractError(
        f"the loader does not know the rule {word!r} of a field; teach penstock_consumers.loader.rules"
    )


def _compared(word: str, bound: Any, values: pa.Array) -> pa.Array | None:
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    if pa.types.is_integer(values.type):
        edge = 1 << (values.type.bit_width - 1)
        if bound <= -edge or bound >= edge:  # no value of the type is on the other side
            return None
    return COMPARED[word](values, bound)
