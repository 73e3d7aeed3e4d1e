"""Ends: of stages, and of pipelines. Pure.

A pipeline ends once nothing of it runs any more. Then its reservation is released, and a resumption meets no run
of the time before.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.traces import TraceContext
from penstock_streams.kit import Decision, Output, Rows, Timer
from penstock_streams.pipelines import model as m
from penstock_streams.pipelines import texts
from penstock_streams.pipelines.policy import FORGOTTEN_AT_ONCE, KEPT_US, STARTED_AT_ONCE
from penstock_streams.work import Ref


def about(pipeline_id: str, head: m.Pipeline) -> dict[str, Any]:
    """Field values shared by every event."""
    return {
        "tenant_id": head.tenant_id,
        "pipeline_id": pipeline_id,
        "user_id": head.user_id,
        "epoch": head.epoch,
    }


def about_stage(pipeline_id: str, head: m.Pipeline, index: int, spec: m.Spec, execution_id: str) -> dict[str, Any]:
    """Field values shared by every event about one stage."""
    return about(pipeline_id, head) | {
        "stage_index": index,
        "stage_name": spec.name,
        "step": spec.step,
        "agent_type": spec.agent_type,
        "execution_id": execution_id,
    }


def stage_completed(
    rows: Rows, pipeline_id: str, head: m.Pipeline, finish: r.FinishStage, decision: Decision
) -> m.Pipeline:
    """Keep what a stage answered, also where the pipeline is stopping: it may be resumed."""
    spec, ref = texts.spec_of(rows, pipeline_id, finish.stage_index), finish.output_ref
    answer = None if ref else finish.output or ""
    output = m.Text(ref.size if ref else len((answer or "").encode()), answer, Ref.of(ref) if ref else None)
    key = m.stage_key(pipeline_id, finish.stage_index)
    kept = Ref.of(finish.artifacts_ref) if finish.artifacts_ref else None
    decision.puts[key] = m.Stage("completed", finish.execution_id, output, kept)
    event = r.StageCompleted(
        **about_stage(pipeline_id, head, finish.stage_index, spec, finish.execution_id),
        output=answer,
        output_ref=ref,
        used_tokens=finish.used_tokens,
    )
    decision.outputs.append(Output(topics.PIPELINES_EVENTS, event))
    step_bytes = head.step_bytes + (0 if ref else output.size)
    return replace(head, running=head.running - 1, done=head.done + 1, step_bytes=step_bytes)


def stage_failed(
    rows: Rows, pipeline_id: str, head: m.Pipeline, finish: r.FinishStage, decision: Decision
) -> m.Pipeline:
    """A stage has no result: the first such end stops the pipeline."""
    spec = texts.spec_of(rows, pipeline_id, finish.stage_index)
    decision.puts[m.stage_key(pipeline_id, finish.stage_index)] = m.Stage("ended", finish.execution_id)
    event = r.StageFailed(
        **about_stage(pipeline_id, head, finish.stage_index, spec, finish.execution_id),
        status=finish.status,
        error_type=finish.error_type,
        error_message=finish.error_message,
        used_tokens=finish.used_tokens,
    )
    decision.outputs.append(Output(topics.PIPELINES_EVENTS, event))
    head = replace(head, running=head.running - 1)
    if head.state != "running":
        return head
    failure = m.Failure(finish.stage_index, spec.name, finish.error_type, finish.error_message)
    return replace(head, state="stopping", failure=failure)


def go_on_stopping(rows: Rows, pipeline_id: str, head: m.Pipeline, now: int, decision: Decision) -> m.Pipeline:
    """Tell the next running stages to stop; once nothing runs, the pipeline has ended."""
    if head.state != "stopping":
        return head
    until = min(head.stop_cursor + STARTED_AT_ONCE, head.cursor)
    reason = head.cancelled_because
    if reason is None and head.failure is not None:
        reason = f"stage {head.failure.name} of its pipeline failed"
    for index in range(head.stop_cursor, until) if head.running else ():
        stage = rows.get(m.stage_key(pipeline_id, index), m.Stage)
        if stage is not None and stage.state == "running":
            cancel = r.CancelExecution(
                tenant_id=head.tenant_id,
                execution_id=stage.execution_id,
                reason=(reason or "")[: topics.MAX_REASON_CHARS],
            )
            decision.outputs.append(Output(topics.ACCOUNTS_REQUESTS, cancel))
    if until < head.cursor and until > head.stop_cursor and head.running:
        decision.timers.append(Timer(m.going_on_name(pipeline_id), now))
    head = replace(head, stop_cursor=max(until, head.stop_cursor))
    if head.running or head.reserving:
        return head
    trace = texts.origin_of(rows, pipeline_id).trace
    if head.cancelled_because is not None:
        cancelled = r.PipelineCancelled(**about(pipeline_id, head), reason=head.cancelled_because)
        return _ended(pipeline_id, head, "cancelled", cancelled, trace, now, decision)
    assert head.failure is not None, "a pipeline stops because it was cancelled or a stage failed"
    failed = r.PipelineFailed(
        **about(pipeline_id, head),
        failed_at_stage=head.failure.name,
        stage_index=head.failure.index,
        error_type=head.failure.error_type,
        error=head.failure.error,
    )
    return _ended(pipeline_id, head, "failed", failed, trace, now, decision)


def completed(
    pipeline_id: str, head: m.Pipeline, output: m.Text, origin: m.Origin, now: int, decision: Decision
) -> m.Pipeline:
    """Every stage has completed; `output` is that of the last step."""
    ref = output.ref.payload() if output.ref else None
    event = r.PipelineCompleted(**about(pipeline_id, head), output=output.inline, output_ref=ref)
    return _ended(pipeline_id, head, "completed", event, origin.trace, now, decision)


def forget(rows: Rows, pipeline_id: str, now: int) -> Decision:
    """Remove the rows of a pipeline that ended long ago; a timer due at once does the rest."""
    key = m.pipeline_key(pipeline_id)
    head = rows.get(key, m.Pipeline)
    if head is None:
        return Decision()
    end = min(head.forgotten + FORGOTTEN_AT_ONCE, head.stages)
    decision = Decision()
    for index in range(head.forgotten, end):
        decision.deletes += [m.spec_key(pipeline_id, index), m.stage_key(pipeline_id, index)]
    if end < head.stages:
        decision.puts[key] = replace(head, forgotten=end)
        decision.timers.append(Timer(key, now))
    else:
        decision.deletes += [key, m.origin_key(pipeline_id)]
    return decision


def _ended(
    pipeline_id: str,
    head: m.Pipeline,
    state: m.State,
    event: r.Record,
    trace: TraceContext | None,
    now: int,
    decision: Decision,
) -> m.Pipeline:
    decision.outputs.append(Output(topics.PIPELINES_EVENTS, event, trace))
    release = r.ReleasePipeline(tenant_id=head.tenant_id, pipeline_id=pipeline_id, epoch=head.epoch)
    decision.outputs.append(Output(topics.ACCOUNTS_COMMANDS, release, trace))
    decision.timers += [
        Timer(m.going_on_name(pipeline_id), None),
        Timer(m.pipeline_key(pipeline_id), now + KEPT_US),
    ]
    return replace(head, state=state, writing=False)
