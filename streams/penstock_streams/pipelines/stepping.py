"""Going on: starting the stages of a step, joining it, and what comes after it. Pure.

A step is started in parts, so no fan-out makes one transaction large: each part ends with a timer due at once,
or with a WriteInputs that comes back with what the next stages are told.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_schemas.topics import MAX_INLINE_CONTENT_BYTES
from penstock_streams.kit import Decision, Output, Rows, Timer
from penstock_streams.pipelines import ending, texts
from penstock_streams.pipelines import model as m
from penstock_streams.pipelines.payloads import Unwritable, WrittenInputs
from penstock_streams.pipelines.policy import STARTED_AT_ONCE
from penstock_streams.work import Earlier, Ref

Carried = tuple[list[Earlier], Ref | None]
"""The outputs of earlier stages, in the request or in a document."""


def go_on(rows: Rows, pipeline_id: str, head: m.Pipeline, now: int, decision: Decision) -> m.Pipeline:
    """Whatever can be done now: start the rest of a step, join it, end the pipeline."""
    while head.state == "running" and not head.writing:
        if head.cursor < head.end:
            return _start_some(rows, pipeline_id, head, now, decision)
        if head.done < head.end - head.first:
            return head
        if head.end == head.stages:
            return _complete(rows, pipeline_id, head, now, decision)
        after = texts.spec_of(rows, pipeline_id, head.end)
        head = replace(
            head,
            step=after.step,
            first=after.first,
            end=after.end,
            cursor=after.first,
            stop_cursor=after.first,
            done=0,
            inline_bytes=head.inline_bytes + head.step_bytes,
            step_bytes=0,
        )
    return head


def started_with(
    rows: Rows, pipeline_id: str, head: m.Pipeline, written: WrittenInputs, now: int, decision: Decision
) -> m.Pipeline:
    """What was written is in the store: start those stages, or end the pipeline with it."""
    head, told = replace(head, writing=False), written.told
    origin = texts.origin_of(rows, pipeline_id)
    if written.first == written.end:
        if isinstance(told[0], Unwritable):
            failed = texts.spec_of(rows, pipeline_id, head.stages - 1)
            failure = m.Failure(head.stages - 1, failed.name, told[0].error_type, told[0].error)
            return ending.go_on_stopping(
                rows, pipeline_id, replace(head, state="stopping", failure=failure), now, decision
            )
        return ending.completed(pipeline_id, head, told[0], origin, now, decision)
    carried = _carried(rows, pipeline_id, head, written.outputs_ref)
    for index, text in zip(range(written.first, written.end), told, strict=True):
        head = replace(head, cursor=index + 1)
        if _is_completed(rows, pipeline_id, index):
            continue
        if isinstance(text, Unwritable):
            head = _not_started(rows, pipeline_id, head, index, text, decision)
            return ending.go_on_stopping(rows, pipeline_id, head, now, decision)
        head = _start(rows, pipeline_id, head, index, text, carried, origin, decision)
    return _later(rows, pipeline_id, head, now, decision)


def _start_some(rows: Rows, pipeline_id: str, head: m.Pipeline, now: int, decision: Decision) -> m.Pipeline:
    end = min(head.cursor + STARTED_AT_ONCE, head.end)
    origin = texts.origin_of(rows, pipeline_id)
    to_start = [index for index in range(head.cursor, end) if not _is_completed(rows, pipeline_id, index)]
    told: dict[int, m.Text] = {}
    if texts.few_outputs(head):
        sources = texts.sources_of(rows, pipeline_id, origin, head.first)
        for index in to_start:
            text = texts.at_hand(sources, texts.spec_of(rows, pipeline_id, index))
            if text is None:
                break
            told[index] = text
    if len(told) < len(to_start):
        return _write(pipeline_id, head, head.cursor, end, origin, decision)
    carried = _carried(rows, pipeline_id, head, None) if told else ([], None)
    for index, text in told.items():
        head = _start(rows, pipeline_id, head, index, text, carried, origin, decision)
    return _later(rows, pipeline_id, replace(head, cursor=end), now, decision)


def _later(rows: Rows, pipeline_id: str, head: m.Pipeline, now: int, decision: Decision) -> m.Pipeline:
    """The rest of the step is started by a timer due at once."""
    if head.cursor < head.end:
        decision.timers.append(Timer(m.going_on_name(pipeline_id), now))
        return head
    return go_on(rows, pipeline_id, head, now, decision)


def _complete(rows: Rows, pipeline_id: str, head: m.Pipeline, now: int, decision: Decision) -> m.Pipeline:
    """The last step is joined: its output is the pipeline's."""
    origin = texts.origin_of(rows, pipeline_id)
    parts = texts.parts_of_step(rows, pipeline_id, head.first, head.end)
    if len(parts) == 1:
        return ending.completed(pipeline_id, head, parts[0][1], origin, now, decision)
    if all(text.inline is not None for _, text in parts) and head.step_bytes <= MAX_INLINE_CONTENT_BYTES:
        output = texts.joined([(label, texts.inline(text)) for label, text in parts])
        if (size := len(output.encode())) <= MAX_INLINE_CONTENT_BYTES:
            return ending.completed(pipeline_id, head, m.Text(size, output), origin, now, decision)
    return _write(pipeline_id, head, head.stages, head.stages, origin, decision)


def _write(
    pipeline_id: str, head: m.Pipeline, first: int, end: int, origin: m.Origin, decision: Decision
) -> m.Pipeline:
    command = r.WriteInputs(
        tenant_id=head.tenant_id, pipeline_id=pipeline_id, epoch=head.epoch, first=first, end=end
    )
    decision.outputs.append(Output(topics.PIPELINES_COMMANDS, command, origin.trace))
    return replace(head, writing=True)


def _start(
    rows: Rows,
    pipeline_id: str,
    head: m.Pipeline,
    index: int,
    text: m.Text,
    carried: Carried,
    origin: m.Origin,
    decision: Decision,
) -> m.Pipeline:
    """Ask for the execution of one stage."""
    spec = texts.spec_of(rows, pipeline_id, index)
    request_id = ids.stage_request_id(pipeline_id, index, head.epoch)
    earlier, outputs_ref = carried
    request = r.RequestExecution(
        tenant_id=head.tenant_id,
        request_id=request_id,
        user_id=head.user_id,
        agent_type=spec.agent_type,
        model=spec.model,
        input=text.inline,
        input_ref=text.ref.payload() if text.ref else None,
        max_tokens=spec.max_tokens,
        timeout_s=spec.timeout_s,
        max_attempts=spec.max_attempts,
        queue=spec.queue,
        metadata=origin.metadata,
        reserve_tokens=spec.input_tokens + spec.output_tokens,
        pipeline_id=pipeline_id,
        stage_index=index,
        parent_reservation=ids.pipeline_reservation_id(pipeline_id, head.epoch),
        artifact_patterns=list(spec.artifact_patterns),
        handed_artifacts=[each.handed() for each in texts.handed_to(rows, pipeline_id, spec)],
        previous_outputs=[each.previous() for each in earlier],
        previous_outputs_ref=outputs_ref.sent_as(r.PreviousOutputsRef) if outputs_ref else None,
    )
    execution_id = ids.execution_id(head.tenant_id, request_id)
    event = r.StageStarted(**ending.about_stage(pipeline_id, head, index, spec, execution_id))
    decision.outputs += [
        Output(topics.ACCOUNTS_REQUESTS, request, origin.trace),
        Output(topics.PIPELINES_EVENTS, event, origin.trace),
    ]
    decision.puts[m.stage_key(pipeline_id, index)] = m.Stage("running", execution_id)
    return replace(head, running=head.running + 1)


def _not_started(
    rows: Rows, pipeline_id: str, head: m.Pipeline, index: int, problem: Unwritable, decision: Decision
) -> m.Pipeline:
    """A stage that cannot be told anything has failed."""
    spec = texts.spec_of(rows, pipeline_id, index)
    execution_id = ids.execution_id(head.tenant_id, ids.stage_request_id(pipeline_id, index, head.epoch))
    event = r.StageFailed(
        **ending.about_stage(pipeline_id, head, index, spec, execution_id),
        status="failed",
        error_type=problem.error_type,
        error_message=problem.error,
    )
    decision.outputs.append(Output(topics.PIPELINES_EVENTS, event, texts.origin_of(rows, pipeline_id).trace))
    decision.puts[m.stage_key(pipeline_id, index)] = m.Stage("ended", execution_id)
    failure = m.Failure(index, spec.name, problem.error_type, problem.error)
    return replace(head, state="stopping", failure=failure)


def _carried(rows: Rows, pipeline_id: str, head: m.Pipeline, outputs_ref: Ref | None) -> Carried:
    if outputs_ref is not None or not head.first:
        return [], outputs_ref
    return list(texts.earlier_outputs(rows, pipeline_id, head.first)), None


def _is_completed(rows: Rows, pipeline_id: str, index: int) -> bool:
    """Before it failed: a resumed pipeline keeps it."""
    stage = rows.get(m.stage_key(pipeline_id, index), m.Stage)
    return stage is not None and stage.state == "completed"
