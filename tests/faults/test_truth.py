"""What conversations and pipelines of a load must become, against the stages themselves in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.pipelines.definition import definition_of
from penstock.pipelines.running import spec_of
from penstock_schemas import records as r
from penstock_schemas.ids import execution_id
from penstock_schemas.records import Record
from penstock_schemas.topics import DEFAULT_QUEUE
from penstock_streams.conversations.decide import Conversations
from penstock_streams.conversations.policy import ConversationPolicy
from penstock_streams.pipelines.decide import Pipelines
from penstock_streams.pipelines.policy import PipelinePolicy
from tests.faults.agents import RECALLING, recalled
from tests.faults.chain_records import PIPELINE, TALK, reads
from tests.faults.verdict_chains import chains_ended, judge_chains
from tests.streams.partition import Partition


def answer(request: r.RequestExecution) -> str:
    """What the agent says to what it is told."""
    said = [(str(past.turn_number), past.role, past.content or "") for past in request.history]
    answered = [(before.stage, before.output or "") for before in request.previous_outputs]
    return recalled(request.input or "", request.turn_number, [*said, *answered])


def execution_of(request: r.RequestExecution) -> str:
    return execution_id(request.tenant_id, request.request_id)


def finish_turn(request: r.RequestExecution) -> r.FinishTurn:
    assert request.turn_number is not None
    return r.FinishTurn(
        tenant_id=TALK.tenant,
        conversation_id=TALK.conversation_id,
        user_id=TALK.user,
        execution_id=execution_of(request),
        turn_number=request.turn_number,
        status="completed",
        output=answer(request),
    )


def finish_stage(request: r.RequestExecution) -> r.FinishStage:
    assert request.stage_index is not None
    return r.FinishStage(
        tenant_id=PIPELINE.tenant,
        pipeline_id=PIPELINE.pipeline_id,
        stage_index=request.stage_index,
        execution_id=execution_of(request),
        status="completed",
        output=answer(request),
    )


def requests(records: Iterable[Record]) -> list[r.RequestExecution]:
    return [record for record in records if isinstance(record, r.RequestExecution)]


def conversation() -> Sequence[Record]:
    """Everything the stage writes of a conversation whose messages all wait behind the first one."""
    partition = Partition(Conversations(ConversationPolicy()))
    written: list[Record] = []
    for turn in TALK.turns():
        written += partition.send(
            r.PostMessage(
                event_id=turn.message_id,
                tenant_id=TALK.tenant,
                user_id=TALK.user,
                conversation_id=None if turn.number == 1 else TALK.conversation_id,
                message_id=turn.message_id,
                content=turn.said,
                agent_type=RECALLING,
            )
        )
    asked = requests(written)
    while asked:
        answered = partition.send(finish_turn(asked.pop(0)))
        asked += requests(answered)
        written += answered
    return written


def pipeline(*, last_branch_first: bool) -> Sequence[Record]:
    """Everything the stage writes of a pipeline."""
    partition = Partition(Pipelines(PipelinePolicy(frozenset({DEFAULT_QUEUE}))))
    of = {"tenant_id": PIPELINE.tenant, "pipeline_id": PIPELINE.pipeline_id}
    stages = [spec_of(stage) for stage in definition_of(PIPELINE.definition()).flat()]
    request = {"request_id": PIPELINE.request_id, "initial_input": PIPELINE.input, "stages": stages}
    written = partition.send(r.StartPipeline(event_id="e", **of, **request))
    written += partition.send(r.PipelineReserved(**of, epoch=1))
    asked = requests(written)
    while asked:
        answered = partition.send(finish_stage(asked.pop(-1 if last_branch_first else 0)))
        asked += requests(answered)
        written += answered
    return written


def test_the_stages_make_of_a_conversation_and_of_a_pipeline_what_the_load_expects() -> None:
    for last_branch_first in (False, True):
        written = reads([*conversation(), *pipeline(last_branch_first=last_branch_first)])
        assert judge_chains([TALK], [PIPELINE], written).violations == []
        assert chains_ended([TALK], [PIPELINE], written)


def test_the_executions_of_both_are_known_beforehand() -> None:
    asked = requests([*conversation(), *pipeline(last_branch_first=False)])
    wanted = [*TALK.executions(), *PIPELINE.executions()]
    assert [(execution_of(each), each.input) for each in asked] == [(w.execution_id, w.input) for w in wanted]
    assert [answer(each) for each in asked] == [w.output for w in wanted]
