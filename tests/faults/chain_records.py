"""What Kafka holds of a conversation and of a pipeline, for tests of their judge."""

from __future__ import annotations

from collections.abc import Sequence

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.ids import derived_id
from penstock_services.topic_reader import Read
from tests.faults.conversations import Turn, nth_conversation
from tests.faults.pipelines import Stage, nth_pipeline

TALK = nth_conversation("x", ["acme"], 0)
PIPELINE = nth_pipeline("x", ["acme"], 4)
FIRST, BRANCH_1, BRANCH_2, BRANCH_3, JOIN, LAST = PIPELINE.stages()
SECOND, THIRD = TALK.turns()[1:3]


def started(turn: Turn) -> r.TurnStarted:
    return r.TurnStarted(event_id=derived_id("began", turn.number), **_of(turn))


def appended(turn: Turn, role: str, content: str | None = None) -> r.TurnAppended:
    said = content or (turn.said if role == "user" else turn.answer)
    return r.TurnAppended(event_id=derived_id(role, turn.number), **_of(turn), role=role, content=said, said_at=1)


def _of(turn: Turn) -> dict[str, object]:
    return {
        "tenant_id": TALK.tenant,
        "conversation_id": TALK.conversation_id,
        "user_id": TALK.user,
        "agent_type": "recalling",
        "message_id": turn.message_id,
        "execution_id": f"e{turn.number}",
        "turn_number": turn.number,
    }


def turn_failed(turn: Turn) -> r.TurnFailed:
    why = {"status": "failed", "error_type": "attempts_exhausted", "error_message": "", "said_at": 1}
    return r.TurnFailed(event_id=derived_id("failed", turn.number), **_of(turn), **why)


def begun(stage: Stage) -> r.StageStarted:
    return r.StageStarted(event_id=derived_id("started", stage.index), **_about(stage))


def done(stage: Stage, output: str | None = None) -> r.StageCompleted:
    said = output or stage.output
    return r.StageCompleted(event_id=derived_id("done", stage.index), **_about(stage), output=said)


def _about(stage: Stage) -> dict[str, object]:
    return {
        "tenant_id": PIPELINE.tenant,
        "pipeline_id": PIPELINE.pipeline_id,
        "epoch": 1,
        "stage_index": stage.index,
        "stage_name": stage.name,
        "step": stage.step,
        "agent_type": "recalling",
        "execution_id": f"s{stage.index}",
    }


def ended(output: str = LAST.output) -> r.PipelineCompleted:
    ids = {"event_id": "end", "tenant_id": PIPELINE.tenant, "pipeline_id": PIPELINE.pipeline_id, "epoch": 1}
    return r.PipelineCompleted(**ids, output=output)


def truth() -> list[r.Record]:
    """Everything Kafka holds of a conversation and a pipeline that went well."""
    turns = [(started(turn), appended(turn, "user"), appended(turn, "assistant")) for turn in TALK.turns()]
    branches = (BRANCH_1, BRANCH_2, BRANCH_3)
    stages = [begun(FIRST), done(FIRST), *map(begun, branches), *map(done, branches)]
    return [*sum(turns, ()), *stages, begun(JOIN), done(JOIN), begun(LAST), done(LAST), ended()]


def reads(records: Sequence[r.Record]) -> list[Read]:
    of_turns = (r.TurnStarted, r.TurnAppended, r.TurnFailed)

    def topic(record: r.Record) -> topics.Topic:
        return topics.CONVERSATIONS_EVENTS if isinstance(record, of_turns) else topics.PIPELINES_EVENTS

    return [Read(record, topic(record).name, 0, offset, 1) for offset, record in enumerate(records)]
