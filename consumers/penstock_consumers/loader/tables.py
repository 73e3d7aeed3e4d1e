"""Which record becomes a row of which table, and what type each column has: the loader's whole mapping, as data.

A column is named after the record's field; a nested one (`output_ref.size`) has an underscore for the dot. The
exceptions are `RENAMED`. What a record type does not have stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from penstock_schemas import records as r

TEXT, BYTES, FLOAT, BOOL = pa.string(), pa.binary(), pa.float64(), pa.bool_()
INT32, INT64 = pa.int32(), pa.int64()
MICROS, MILLIS = pa.timestamp("us", tz="UTC"), pa.timestamp("ms", tz="UTC")


def _fields(data_type: pa.DataType, names: str) -> list[pa.Field]:
    """Fields of one type; a name with a question mark takes null."""
    return [pa.field(name.rstrip("?"), data_type, nullable=name.endswith("?")) for name in names.split()]


EVENT = [*_fields(TEXT, "tenant_id event_id record_type"), *_fields(MICROS, "occurred_at")]
KAFKA = [
    *_fields(TEXT, "kafka_topic"),
    *_fields(INT32, "kafka_partition"),
    *_fields(INT64, "kafka_offset"),
    *_fields(MILLIS, "kafka_timestamp"),
]
PROVIDER_CALL = [
    *_fields(TEXT, "tenant_id usage_id period execution_id user_id? agent_type? model usage_topic"),
    *_fields(MICROS, "occurred_at"),
    *_fields(INT32, "epoch? call_seq? usage_partition"),
    *_fields(
        INT64, "input_tokens cache_read_tokens cache_write_tokens output_tokens reasoning_tokens usage_offset"
    ),
    *_fields(INT64, "tool_calls sandbox_cpu_ms sandbox_gb_ms"),
]

TABLES: Mapping[str, pa.Schema] = {
    "executions_events": pa.schema(
        [
            *EVENT,
            *_fields(TEXT, "execution_id request_id user_id? agent_type model? queue tier reason detail"),
            *_fields(TEXT, "refused_event_id worker_id status error_type error_message"),
            *_fields(TEXT, "output? output_ref_sha256? output_ref_uri?"),
            *_fields(INT32, "timeout_s max_attempts epoch current_epoch attempts"),
            *_fields(INT64, "position last_seq output_ref_size?"),
            *_fields(MICROS, "deadline_at retry_at"),
            *KAFKA,
        ]
    ),
    "executions_progress": pa.schema(
        [
            *EVENT,
            *_fields(TEXT, "execution_id message step_type name status error? tool_name summary? text"),
            *_fields(INT32, "epoch step_number"),
            *_fields(INT64, "seq duration_ms"),
            *_fields(FLOAT, "fraction?"),
            *KAFKA,
        ]
    ),
    "accounts_events": pa.schema(
        [
            *EVENT,
            *_fields(TEXT, "tier"),
            *_fields(INT32, "concurrency queue_limit"),
            *_fields(BOOL, "suspended"),
            *KAFKA,
        ]
    ),
    "price_events": pa.schema(
        [
            *EVENT,
            *_fields(TEXT, "list_event_id price_version model reason detail"),
            *_fields(INT32, "partition"),
            *_fields(MICROS, "effective_from"),
            *_fields(INT64, "input_nanousd_per_mtok cache_read_nanousd_per_mtok cache_write_nanousd_per_mtok"),
            *_fields(INT64, "output_nanousd_per_mtok tool_call_nanousd cpu_second_nanousd gb_second_nanousd"),
            *KAFKA,
        ]
    ),
    "ledger": pa.schema(
        [*PROVIDER_CALL, *_fields(TEXT, "line_id price_version"), *_fields(INT64, "cost_nanousd"), *KAFKA]
    ),
    "usage_quarantine": pa.schema([*PROVIDER_CALL, *_fields(TEXT, "event_id reason detail"), *KAFKA]),
    "dead_letters": pa.schema(
        [
            *_fields(TEXT, "tenant_id event_id source_topic error_code error_message stage"),
            *_fields(MICROS, "occurred_at source_timestamp"),
            *_fields(INT32, "source_partition"),
            *_fields(INT64, "source_offset value_size"),
            *_fields(BYTES, "key? value?"),
            pa.field("headers", pa.map_(TEXT, BYTES), nullable=False),
            *KAFKA,
        ]
    ),
}
"""Columns by table; the SQL is in `penstock_schemas/clickhouse`, and a test holds the two together."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where records of one type go."""

    table: str
    renamed: Mapping[str, str]
    """Column by field, where the names differ."""


def _to(table: str, *record_types: type[r.Record], **renamed: str) -> dict[type[r.Record], Destination]:
    return dict.fromkeys(record_types, Destination(table, renamed))


DESTINATIONS: Mapping[type[r.Record], Destination] = {
    **_to(
        "executions_events",
        *(r.ExecutionAdmitted, r.ExecutionQueued, r.ExecutionRejected, r.RequestRefused, r.CancelRefused),
        *(r.AttemptStarted, r.AttemptLost, r.AttemptFailed, r.StaleAttemptReported),
        *(r.ExecutionCompleted, r.ExecutionFailed, r.ExecutionTimedOut, r.ExecutionCancelled),
    ),
    **_to("executions_progress", r.ProgressReported, r.StepStarted, r.StepFinished, r.ToolCalled, r.OutputEmitted),
    **_to("accounts_events", r.TenantConfigured),
    **_to("price_events", r.PriceListed, listed_by="list_event_id"),
    **_to("price_events", r.PriceRefused, refused_event_id="list_event_id"),
    **_to("ledger", r.UsageCharged, event_id="line_id"),
    **_to("usage_quarantine", r.UsageQuarantined),
    **_to("dead_letters", r.DeadLetter),
}
LOADED_KINDS = frozenset({"events", "progress", "dead-letters"})
"""Kinds of topics that are loaded; every record type they declare has a destination, which a test holds."""
