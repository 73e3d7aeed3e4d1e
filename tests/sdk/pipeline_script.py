"""Pipelines as the stage would run them, for requests that the client writes."""

from __future__ import annotations

from typing import Any

from penstock_schemas import ids
from penstock_schemas import records as r


class Pipelines:
    """Answers requests as the platform would; a pipeline's input says what becomes of it."""

    def __init__(self) -> None:
        self._first: dict[str, r.StartPipeline] = {}

    def answers(self, request: r.Record) -> list[r.Record]:
        """What is said to `request`: nothing to an exact repeat."""
        if not isinstance(request, r.StartPipeline):
            return _answers(request)
        first = self._first.setdefault(request.pipeline_id, request)
        if first.initial_input != request.initial_input:
            return [_refused(request, "duplicate_mismatch", "the request id was used for another pipeline")]
        if first is not request:
            return []
        if request.tenant_id == "poor":
            return [_refused(request, "budget_exceeded", "200 tokens are left")]
        return _started(request)


def _answers(request: r.Record) -> list[r.Record]:
    match request:
        case r.CancelPipeline(reason="too late"):
            return [_refused(request, "finished", "it has completed already")]
        case r.CancelPipeline():
            whose = {"tenant_id": request.tenant_id, "pipeline_id": request.pipeline_id}
            if request.user_id == "stranger":
                return [_refused(request, "not_found", "this user has no such pipeline")]
            return [r.PipelineCancelled(**whose, user_id="ann", epoch=1, reason=request.reason)]
        case r.ResumePipeline(user_id="hasty"):
            return [_refused(request, "not_failed", "it is running")]
        case r.ResumePipeline():
            return _resumed(request)
    return []


def _started(request: r.StartPipeline) -> list[r.Record]:
    whose: dict[str, Any] = {
        "tenant_id": request.tenant_id,
        "user_id": request.user_id,
        "pipeline_id": request.pipeline_id,
        "epoch": 1,
    }
    records: list[r.Record] = [
        r.PipelineStarted(
            **whose,
            request_id=request.request_id,
            name=request.name,
            stages=len(request.stages),
            steps=request.stages[-1].step + 1,
            metadata=request.metadata,
        )
    ]
    said = request.initial_input
    for index, stage in enumerate(request.stages):
        about = _about(whose, index, stage)
        records.append(r.StageStarted(**about))
        if said == "stuck":
            return records
        if said == "broken" and index == len(request.stages) - 1:
            broke = {"error_type": "Boom", "error_message": "it broke"}
            records.append(r.StageFailed(**about, status="failed", used_tokens=3, **broke))
            failed = {"failed_at_stage": stage.name, "stage_index": index}
            return [*records, r.PipelineFailed(**whose, **failed, error_type="Boom", error="it broke")]
        records.append(r.StageCompleted(**about, output=f"{stage.name}: {said}", used_tokens=10))
    return [*records, r.PipelineCompleted(**whose, output=f"{request.stages[-1].name}: {said}")]


def _resumed(request: r.ResumePipeline) -> list[r.Record]:
    whose: dict[str, Any] = {"tenant_id": request.tenant_id, "pipeline_id": request.pipeline_id, "epoch": 2}
    about = _about(whose, 1, r.StageSpec(name="Write", agent_type="echo", step=1))
    return [
        r.PipelineResumed(**whose, step=1),
        r.StageStarted(**about),
        r.StageCompleted(**about, output="written after all", used_tokens=7),
        r.PipelineCompleted(**whose, output="written after all"),
    ]


def _about(whose: dict[str, Any], index: int, stage: r.StageSpec) -> dict[str, Any]:
    request_id = ids.stage_request_id(whose["pipeline_id"], index, whose["epoch"])
    return {
        **whose,
        "stage_index": index,
        "stage_name": stage.name,
        "step": stage.step,
        "agent_type": stage.agent_type,
        "execution_id": ids.execution_id(whose["tenant_id"], request_id),
    }


def _refused(
    request: r.StartPipeline | r.CancelPipeline | r.ResumePipeline, reason: str, detail: str
) -> r.PipelineRequestRefused:
    return r.PipelineRequestRefused(
        tenant_id=request.tenant_id,
        pipeline_id=request.pipeline_id,
        user_id=request.user_id,
        refused_event_id=request.event_id,
        reason=reason,
        detail=detail,
    )
