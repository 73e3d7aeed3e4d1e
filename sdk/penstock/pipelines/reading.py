"""Pipelines as ClickHouse has loaded them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.pipelines.arguments import PipelineArguments, PipelinesArguments
from penstock.pipelines.models import Pipeline
from penstock.reading import Reading, Row
from penstock_schemas import records as r
from penstock_schemas.records.pipelines import PipelineRecord

WHOSE = "tenant_id = {tenant:String} AND ({user:Nullable(String)} IS NULL OR user_id = {user:Nullable(String)})"
WHICH = f"{WHOSE} AND pipeline_id = {{id:String}}"
REF = ("sha256", "size", "uri")


class PipelineReading:
    """Reads for one client."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def loaded_up_to(self, partition: int) -> int:
        """The offset of the pipelines' events from which on a partition may not be loaded."""
        query = (
            "SELECT count() AS n, max(kafka_offset) AS newest FROM pipelines_events "
            "WHERE kafka_partition = {p:Int32}"
        )
        (row,) = await self._reading.rows(query, {"p": partition})
        return int(row["newest"]) + 1 if row["n"] else 0

    async def events(self, wanted: PipelineArguments) -> list[PipelineRecord]:
        """The events of one pipeline, in their order; also refusals of requests about it."""
        query = (
            "SELECT * REPLACE (toUnixTimestamp64Micro(occurred_at) AS occurred_at) FROM pipelines_events FINAL "
            f"WHERE {WHICH} ORDER BY kafka_offset"
        )
        rows = await self._reading.rows(query, _parameters(wanted.tenant, wanted.user, id=wanted.pipeline_id))
        return [_record(row) for row in rows]

    async def costs(self, wanted: PipelineArguments) -> dict[str, int]:
        """What the executions of a pipeline's stages were charged so far, by execution id, in nano-USD."""
        query = (
            "SELECT execution_id, sum(cost_nanousd) AS cost FROM ledger FINAL WHERE tenant_id = {tenant:String} "
            "AND execution_id IN (SELECT execution_id FROM pipelines_events "
            f"WHERE {WHICH} AND record_type = 'StageStarted') GROUP BY execution_id"
        )
        rows = await self._reading.rows(query, _parameters(wanted.tenant, wanted.user, id=wanted.pipeline_id))
        return {row["execution_id"]: int(row["cost"]) for row in rows}

    async def list(self, wanted: PipelinesArguments) -> Sequence[Pipeline]:
        """Pipelines without their stages, the newest first."""
        where = WHOSE if wanted.status is None else f"{WHOSE} AND status = {{status:String}}"
        rows = await self._reading.rows(
            f"SELECT * FROM v_pipelines WHERE {where} "
            "ORDER BY started_at DESC, pipeline_id LIMIT {limit:UInt32}",
            _parameters(wanted.tenant, wanted.user, status=wanted.status or "", limit=wanted.limit),
        )
        return [Pipeline.model_validate(_with_ref(row)) for row in rows]


def _parameters(tenant: str, user: str | None, **other: Any) -> dict[str, Any]:
    return {"tenant": tenant, "user": user, **other}


def _record(row: Row) -> PipelineRecord:
    record_type: type[PipelineRecord] = getattr(r, row["record_type"])
    row = _with_ref(row)
    return record_type.model_validate({name: row[name] for name in record_type.model_fields if name in row})


def _with_ref(row: Row) -> Row:
    """A row with the three columns of its reference as one."""
    ref = {name: row[f"output_ref_{name}"] for name in REF}
    return row | {"output_ref": ref if ref["sha256"] else None}
