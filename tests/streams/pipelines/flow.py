"""The pipelines stage in memory, and what callers, accounts and executions say to it."""

from __future__ import annotations

import asyncio
from typing import Any

from penstock.artifacts import ArtifactStore
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.records import Record
from penstock_streams.pipelines.decide import Pipelines
from penstock_streams.pipelines.payloads import preparations, preparations_with_rows
from penstock_streams.pipelines.policy import PipelinePolicy
from tests.streams.partition import Partition

TENANT, USER, REQUEST = "acme", "ann", "r1"
PIPELINE = ids.pipeline_id(TENANT, REQUEST)
QUEUES = frozenset({"agents-default", "gpu"})


def spec(name: str, step: int, template: str | None = None, **fields: Any) -> r.StageSpec:
    values: dict[str, Any] = {"agent_type": "echo", "prompt_template": template} | fields
    return r.StageSpec(name=name, step=step, **values)


def start(*stages: r.StageSpec, request: str = REQUEST, **fields: Any) -> r.StartPipeline:
    values: dict[str, Any] = {
        "tenant_id": TENANT,
        "user_id": USER,
        "event_id": f"e-{request}",
        "initial_input": "begin",
        "pipeline_id": ids.pipeline_id(fields.get("tenant_id", TENANT), request),
    } | fields
    return r.StartPipeline(request_id=request, stages=list(stages), **values)


def reserved(epoch: int = 1) -> r.PipelineReserved:
    return r.PipelineReserved(tenant_id=TENANT, pipeline_id=PIPELINE, epoch=epoch)


def cancel(**fields: Any) -> r.CancelPipeline:
    values = {"tenant_id": TENANT, "pipeline_id": PIPELINE, "event_id": "e-cancel", "reason": "enough"} | fields
    return r.CancelPipeline(**values)


def resume(**fields: Any) -> r.ResumePipeline:
    values = {"tenant_id": TENANT, "pipeline_id": PIPELINE, "event_id": "e-resume"} | fields
    return r.ResumePipeline(**values)


def execution_of(index: int, epoch: int = 1) -> str:
    return ids.execution_id(TENANT, ids.stage_request_id(PIPELINE, index, epoch))


def finish(index: int, output: str | None = None, *, epoch: int = 1, **fields: Any) -> r.FinishStage:
    """The end of the execution of a stage: completed with `output`, or as the fields say."""
    values: dict[str, Any] = {
        "status": "completed",
        "output": f"out {index}" if output is None else output,
    } | fields
    if values["status"] != "completed":
        values |= {"output": None, "error_type": values.get("error_type", "Boom"), "error_message": "it broke"}
    return r.FinishStage(
        tenant_id=TENANT,
        pipeline_id=PIPELINE,
        stage_index=index,
        execution_id=execution_of(index, epoch),
        **values,
    )


class Flow:
    """A pipeline's partition; what the stage writes to itself is prepared and decided as well.

    Args:
        store: where large texts go; None prepares nothing.
    """

    def __init__(self, store: ArtifactStore | None = None) -> None:
        self.partition = Partition(Pipelines(PipelinePolicy(QUEUES)))
        self._store = store

    def send(self, record: Record) -> list[Record]:
        """Fold a record, the timers it makes due and what the stage writes to itself; all that was written."""
        written = self.partition.send(self._prepared(record))
        written += self.partition.advance(0)
        for command in [each for each in written if isinstance(each, r.WriteInputs)]:
            written += self.send(command)
        return written

    def begin(self, *stages: r.StageSpec, **fields: Any) -> list[Record]:
        """Start a pipeline and reserve what it may cost."""
        self.send(start(*stages, **fields))
        return self.send(reserved())

    def told(self, index: int, epoch: int = 1) -> str | None:
        """The input of a stage, inline."""
        return self.request(index, epoch).input

    def request(self, index: int, epoch: int = 1) -> r.RequestExecution:
        request_id = ids.stage_request_id(PIPELINE, index, epoch)
        (request,) = (one for one in self.partition.all(r.RequestExecution) if one.request_id == request_id)
        return request

    def text(self, ref: r.PayloadRef | None) -> str:
        assert self._store is not None
        assert ref is not None
        return asyncio.run(self._store.get(ref)).decode()

    def _prepared(self, record: Record) -> Record:
        if self._store is None:
            return record
        if prepare := preparations(self._store).get(type(record)):
            return asyncio.run(_awaited(prepare(record)))
        if prepare_with_rows := preparations_with_rows(self._store).get(type(record)):
            return asyncio.run(_awaited(prepare_with_rows(record, self.partition)))
        return record


async def _awaited(prepared: Any) -> Record:
    record: Record = await prepared
    return record


def started(records: list[Record]) -> list[str]:
    """Names of the stages that were started."""
    return [record.stage_name for record in records if isinstance(record, r.StageStarted)]


def refusals(records: list[Record]) -> list[str]:
    """Reasons of refusals."""
    return [record.reason for record in records if isinstance(record, r.PipelineRequestRefused)]
