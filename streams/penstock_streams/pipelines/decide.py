"""What pipelines decides. Pure: rows, one event or due timer, the time; out come rows, records and timers.

    asked ── reserved ──> running ── last step joined ──────────────────────────> completed
      │                      │
      └── refused            ├── a stage failed ──> stopping ── nothing runs ──> failed ── resumed ──> asked
                             └── cancelled ───────> stopping ── nothing runs ──> cancelled

Nothing starts before accounts has reserved what all stages may cost. A step is joined once: the end of a stage
counts once, as the stage's row says whether it runs. Whatever belongs to another tenant or user does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.kit import Decision, Event, Output, Rows, Timer, TimerDue
from penstock_streams.pipelines import model as m
from penstock_streams.pipelines import texts
from penstock_streams.pipelines.ending import about, forget, go_on_stopping, stage_completed, stage_failed
from penstock_streams.pipelines.overlay import Overlay
from penstock_streams.pipelines.payloads import WrittenInputs, is_awaited
from penstock_streams.pipelines.policy import KEPT_US, PipelinePolicy
from penstock_streams.pipelines.starting import reservation, taken_in
from penstock_streams.pipelines.stepping import go_on, started_with
from penstock_streams.pipelines.validation import (
    MISMATCH,
    NOT_FOUND,
    Problem,
    problem_with,
    request_digest,
)

Asking = r.StartPipeline | r.CancelPipeline | r.ResumePipeline


@dataclass(frozen=True, slots=True)
class Pipelines:
    """The stage's decide function, bound to the operator's policy."""

    policy: PipelinePolicy

    def __call__(self, rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        if isinstance(event, TimerDue):
            return self._timer(rows, event.name, now)
        match event.record:
            case r.StartPipeline() as start:
                return self._start(rows, start, event)
            case r.CancelPipeline() as cancel:
                return self._cancel(rows, cancel, now)
            case r.ResumePipeline() as resume:
                return self._resume(rows, resume, now)
            case r.PipelineReserved() as reserved:
                return self._reserved(rows, reserved, now)
            case r.PipelineReservationRefused() as refused:
                return self._not_reserved(rows, refused, now)
            case r.FinishStage() as finish:
                return self._finish(rows, finish, now)
            case WrittenInputs() as written:
                return self._written(rows, written, now)
            case r.WriteInputs():
                return Decision()  # what it was for has ended, so nothing was written
        raise TypeError(f"pipelines does not handle {type(event.record).__name__}")

    def _timer(self, rows: Rows, name: str, now: int) -> Decision:
        kind, _, pipeline_id = name.partition("/")
        match kind:
            case "pipeline":
                return forget(rows, pipeline_id, now)
            case "going-on":
                head = rows.get(m.pipeline_key(pipeline_id), m.Pipeline)
                return Decision() if head is None else _moved(rows, pipeline_id, head, now, Decision())
        raise ValueError(f"pipelines has no timer {name!r}")

    # Requests

    def _start(self, rows: Rows, start: r.StartPipeline, event: Event) -> Decision:
        if problem := problem_with(start, self.policy.queues):
            return _refused(start, problem)
        key = m.pipeline_key(start.pipeline_id)
        if rows.get(key, m.Pipeline):
            same = texts.origin_of(rows, start.pipeline_id).digest == request_digest(start)
            return Decision() if same else _refused(start, MISMATCH)
        decision = Decision()
        head = decision.puts[key] = taken_in(start, event, decision)
        seen = Overlay(rows, decision)
        specs = (texts.spec_of(seen, start.pipeline_id, index) for index in range(head.stages))
        decision.outputs.append(reservation(start.pipeline_id, head, specs))
        return decision

    def _cancel(self, rows: Rows, cancel: r.CancelPipeline, now: int) -> Decision:
        head = _head_for(rows, cancel)
        if head is None or head.state == "refused":
            return _refused(cancel, NOT_FOUND)
        if head.cancelled_because is not None:
            return _refused(cancel, Problem("already_cancelled", "somebody has asked for that before"))
        if head.state != "running":
            return _refused(cancel, Problem("finished", f"nothing is to be cancelled: it is {_said(head.state)}"))
        reason = cancel.reason[: topics.MAX_REASON_CHARS]
        stopping = replace(head, state="stopping", cancelled_because=reason, writing=False)
        return _moved(rows, cancel.pipeline_id, stopping, now, Decision())

    def _resume(self, rows: Rows, resume: r.ResumePipeline, now: int) -> Decision:
        head = _head_for(rows, resume)
        if head is None or head.state == "refused":
            return _refused(resume, NOT_FOUND)
        if head.state != "failed":
            reason = "still_running" if head.state in ("running", "stopping") else "finished"
            return _refused(resume, Problem(reason, f"only a failed one is resumed: it is {_said(head.state)}"))
        key, pipeline_id = m.pipeline_key(resume.pipeline_id), resume.pipeline_id
        head = replace(
            head,
            state="running",
            epoch=head.epoch + 1,
            reserving=True,
            asked_by=resume.event_id,
            cursor=head.first,
            stop_cursor=head.first,
            failure=None,
        )
        specs = (
            texts.spec_of(rows, pipeline_id, index)
            for index in range(head.first, head.stages)
            if (stage := rows.get(m.stage_key(pipeline_id, index), m.Stage)) is None or stage.state != "completed"
        )
        trace = texts.origin_of(rows, pipeline_id).trace
        asked = replace(reservation(pipeline_id, head, specs), trace=trace)
        return Decision(puts={key: head}, outputs=[asked], timers=[Timer(key, None)])

    # Answers

    def _reserved(self, rows: Rows, reserved: r.PipelineReserved, now: int) -> Decision:
        pipeline_id, decision = reserved.pipeline_id, Decision()
        head = rows.get(m.pipeline_key(pipeline_id), m.Pipeline)
        if head is None or not head.reserving or head.epoch != reserved.epoch:
            return decision
        head = replace(head, reserving=False)
        if head.state == "running":
            origin = texts.origin_of(rows, pipeline_id)
            event: r.Record
            if head.epoch == 1:
                event = r.PipelineStarted(
                    **about(pipeline_id, head),
                    request_id=origin.request_id,
                    name=origin.name,
                    stages=head.stages,
                    steps=head.steps,
                    metadata=origin.metadata,
                )
            else:
                event = r.PipelineResumed(**about(pipeline_id, head), step=head.step)
            decision.outputs.append(Output(topics.PIPELINES_EVENTS, event, origin.trace))
        return _moved(rows, pipeline_id, head, now, decision)

    def _not_reserved(self, rows: Rows, refused: r.PipelineReservationRefused, now: int) -> Decision:
        """Nothing has started: a new pipeline is remembered as refused, a failed one is what it was."""
        key, decision = m.pipeline_key(refused.pipeline_id), Decision()
        head = rows.get(key, m.Pipeline)
        if head is None or not head.reserving or head.epoch != refused.epoch:
            return decision
        head = replace(head, reserving=False)
        if head.state == "stopping":  # it was cancelled in the meantime, and the reservation to release is none
            return _moved(rows, refused.pipeline_id, head, now, decision)
        decision.puts[key] = replace(head, state="refused" if head.epoch == 1 else "failed")
        decision.timers.append(Timer(key, now + KEPT_US))
        event = r.PipelineRequestRefused(
            tenant_id=head.tenant_id,
            pipeline_id=refused.pipeline_id,
            user_id=head.user_id,
            refused_event_id=head.asked_by,
            reason=refused.reason,
            detail=refused.detail,
        )
        decision.outputs.append(Output(topics.PIPELINES_EVENTS, event))
        return decision

    def _finish(self, rows: Rows, finish: r.FinishStage, now: int) -> Decision:
        pipeline_id, decision = finish.pipeline_id, Decision()
        head = rows.get(m.pipeline_key(pipeline_id), m.Pipeline)
        stage = rows.get(m.stage_key(pipeline_id, finish.stage_index), m.Stage)
        if head is None or stage is None or stage.state != "running" or stage.execution_id != finish.execution_id:
            return decision
        end = stage_completed if finish.status == "completed" else stage_failed
        return _moved(rows, pipeline_id, end(rows, pipeline_id, head, finish, decision), now, decision)

    def _written(self, rows: Rows, written: WrittenInputs, now: int) -> Decision:
        pipeline_id, decision = written.pipeline_id, Decision()
        head = rows.get(m.pipeline_key(pipeline_id), m.Pipeline)
        if head is None or head.state != "running" or not is_awaited(head, written):
            return decision
        head = started_with(Overlay(rows, decision), pipeline_id, head, written, now, decision)
        decision.puts[m.pipeline_key(pipeline_id)] = head
        return decision


def _moved(rows: Rows, pipeline_id: str, head: m.Pipeline, now: int, decision: Decision) -> Decision:
    """Put the head as it is after everything that can be done now."""
    seen = Overlay(rows, decision)
    if head.state == "running" and not head.reserving:
        head = go_on(seen, pipeline_id, head, now, decision)
    elif head.state == "stopping":
        head = go_on_stopping(seen, pipeline_id, head, now, decision)
    decision.puts[m.pipeline_key(pipeline_id)] = head
    return decision


def _head_for(rows: Rows, asking: r.CancelPipeline | r.ResumePipeline) -> m.Pipeline | None:
    """The pipeline, where whoever asks may know of it; the tenant itself may of all of its users'."""
    head = rows.get(m.pipeline_key(asking.pipeline_id), m.Pipeline)
    if head is None or head.forgotten or head.tenant_id != asking.tenant_id:
        return None
    return head if asking.user_id in (None, head.user_id) else None


def _said(state: m.State) -> str:
    return "being stopped" if state == "stopping" else state


def _refused(asking: Asking, problem: Problem) -> Decision:
    refused = r.PipelineRequestRefused(
        tenant_id=asking.tenant_id,
        pipeline_id=asking.pipeline_id,
        user_id=asking.user_id,
        refused_event_id=asking.event_id,
        reason=problem.reason,
        detail=problem.detail,
    )
    return Decision(outputs=[Output(topics.PIPELINES_EVENTS, refused)])
