"""The state of a pipeline from its events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.errors import NotFound, PipelineRejected
from penstock.models import moment_of
from penstock.pipelines.models import Pipeline, PipelineStage
from penstock_schemas import records as r
from penstock_schemas.records.pipelines import PipelineEvent, PipelineRecord

Ending = r.PipelineCompleted | r.PipelineFailed | r.PipelineCancelled


def is_about(record: r.Record | None, tenant: str, user: str | None, pipeline_id: str) -> bool:
    """Whether an event is about that pipeline as its owner sees it; `user` None is the whole tenant."""
    return (
        isinstance(record, PipelineEvent | r.PipelineRequestRefused)
        and (record.pipeline_id, record.tenant_id) == (pipeline_id, tenant)
        and user in (None, record.user_id)
    )


def state_of(pipeline_id: str, events: Iterable[PipelineRecord], costs: Mapping[str, int]) -> Pipeline:
    """A pipeline after its events, in their order.

    Args:
        pipeline_id: which.
        events: all of it, also refusals.
        costs: by execution id, in nano-USD.

    Raises:
        PipelineRejected: it was refused when it was to start.
        NotFound: nothing is known of it.
    """
    found: Pipeline | None = None
    stages: dict[int, PipelineStage] = {}
    refused: r.PipelineRequestRefused | None = None
    used_tokens = 0
    for event in events:
        if isinstance(event, r.PipelineStarted):
            found = _started(event)
        elif isinstance(event, r.PipelineRequestRefused):
            refused = event if event.reason != "not_found" else refused
        elif found is not None and isinstance(event, PipelineEvent):
            if isinstance(event, r.StageStarted | r.StageCompleted | r.StageFailed):
                stages[event.stage_index] = stage = _stage_after(stages.get(event.stage_index), event)
                used_tokens += stage.used_tokens or 0
            found = found.model_copy(update=_changes(event))
    if found is None and refused is not None:
        raise PipelineRejected(refused.reason, refused.detail)
    if found is None:
        raise NotFound(
            f"no pipeline {pipeline_id!r} of this tenant or user is known to ClickHouse or Kafka; "
            "`penstock pipeline list` shows those that are"
        )
    charged = {
        stage.stage_index: stage.model_copy(update={"cost_nanousd": costs.get(stage.execution_id, 0)})
        for stage in stages.values()
    }
    return found.model_copy(
        update={
            "stages": tuple(charged[index] for index in sorted(charged)),
            "completed_stages": sum(stage.status == "completed" for stage in stages.values()),
            "used_tokens": used_tokens,
            "cost_nanousd": sum(costs.values()),  # also of runs that were replaced by a resumption
        }
    )


def _started(event: r.PipelineStarted) -> Pipeline:
    return Pipeline(
        pipeline_id=event.pipeline_id,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        request_id=event.request_id,
        name=event.name,
        epoch=event.epoch,
        stage_count=event.stages,
        step_count=event.steps,
        metadata=event.metadata,
        started_at=moment_of(event.occurred_at),
    )


def _changes(event: PipelineEvent) -> dict[str, Any]:
    ended = {"finished_at": moment_of(event.occurred_at)}
    match event:
        case r.PipelineCompleted():
            return ended | {"status": "completed", "output": event.output, "output_ref": event.output_ref}
        case r.PipelineFailed():
            error = {"error_type": event.error_type, "error": event.error}
            return ended | {"status": "failed", "failed_at_stage": event.failed_at_stage} | error
        case r.PipelineCancelled():
            return ended | {"status": "cancelled", "reason": event.reason or None}
        case r.PipelineResumed():
            nothing = dict.fromkeys(("finished_at", "failed_at_stage", "error_type", "error"))
            return {"status": "running", "epoch": event.epoch} | nothing
    return {}


def _stage_after(
    stage: PipelineStage | None, event: r.StageStarted | r.StageCompleted | r.StageFailed
) -> PipelineStage:
    at = moment_of(event.occurred_at)
    if stage is None or isinstance(event, r.StageStarted):
        stage = PipelineStage(
            stage_index=event.stage_index,
            name=event.stage_name,
            step=event.step,
            agent_type=event.agent_type,
            epoch=event.epoch,
            execution_id=event.execution_id,
            started_at=at,
        )
    match event:
        case r.StageCompleted():
            said = {"output": event.output, "output_ref": event.output_ref, "used_tokens": event.used_tokens}
            return stage.model_copy(update=said | {"status": "completed", "finished_at": at})
        case r.StageFailed():
            error = {"error_type": event.error_type or None, "error_message": event.error_message or None}
            ended = {"status": event.status, "used_tokens": event.used_tokens, "finished_at": at}
            return stage.model_copy(update=ended | error)
    return stage
