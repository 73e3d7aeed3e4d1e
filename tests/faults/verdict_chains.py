"""What became of executions that follow one another: the turns of conversations, the stages of pipelines. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256

from penstock_schemas import records as r
from penstock_services.topic_reader import Read
from tests.faults.conversations import Conversation, Turn
from tests.faults.pipelines import Pipeline, Stage

PIPELINE_ENDS = (r.PipelineCompleted, r.PipelineFailed, r.PipelineCancelled, r.PipelineRequestRefused)


@dataclass
class Chains:
    """Every violation in words; all lists empty is what the platform promises."""

    conversations: int = 0
    turns: int = 0
    turns_lost: list[str] = field(default_factory=list)
    """Turns without one of their sides, or with a failure instead."""
    turns_doubled: list[str] = field(default_factory=list)
    """Turns that began twice, or a side of which was appended twice."""
    turns_disordered: list[str] = field(default_factory=list)
    """Conversations whose turns are not numbered from 1 without a gap in the order of the messages, each after the
    end of the one before."""
    pipelines: int = 0
    stages: int = 0
    stages_doubled: list[str] = field(default_factory=list)
    """Stages that were begun or completed more than once."""
    joins: list[str] = field(default_factory=list)
    """Steps that did not begin exactly once, after everything before them was completed."""
    pipelines_lost: list[str] = field(default_factory=list)
    """Pipelines that did not end exactly once, with their output."""
    told: list[str] = field(default_factory=list)
    """Turns and stages whose text is another than what follows from everything said before them."""

    @property
    def violations(self) -> list[str]:
        found = (getattr(self, each.name) for each in fields(self))
        return [finding for each in found if isinstance(each, list) for finding in each]


def judge_chains(
    conversations: Sequence[Conversation], pipelines: Sequence[Pipeline], reads: Iterable[Read]
) -> Chains:
    """Compare.

    Args:
        conversations: those of the load.
        pipelines: those of the load.
        reads: what Kafka holds; in order within a partition.
    """
    chains = Chains(conversations=len(conversations), pipelines=len(pipelines))
    events = by_chain(reads)
    for conversation in conversations:
        _judge_conversation(conversation, events[conversation.conversation_id], chains)
    for pipeline in pipelines:
        _judge_pipeline(pipeline, events[pipeline.pipeline_id], chains)
    return chains


def by_chain(reads: Iterable[Read]) -> defaultdict[str, list[r.Record]]:
    """The events of each conversation and pipeline, in order: all of one lie on one partition."""
    events: defaultdict[str, list[r.Record]] = defaultdict(list)
    for read in reads:
        match read.record:
            case r.TurnStarted() | r.TurnAppended() | r.TurnFailed() | r.MessageRejected() as event:
                events[event.conversation_id].append(event)
            case r.StageStarted() | r.StageCompleted() | r.StageFailed() as event:
                events[event.pipeline_id].append(event)
            case event if isinstance(event, PIPELINE_ENDS):
                events[event.pipeline_id].append(event)
    return events


def chains_ended(
    conversations: Sequence[Conversation], pipelines: Sequence[Pipeline], reads: Iterable[Read]
) -> bool:
    """Whether every turn has an answer or a failure, and every pipeline an end."""
    events = by_chain(reads)

    def answered(conversation: Conversation) -> set[str]:
        return {
            event.message_id
            for event in events[conversation.conversation_id]
            if isinstance(event, r.TurnFailed | r.MessageRejected)
            or (isinstance(event, r.TurnAppended) and event.role == "assistant")
        }

    return all({turn.message_id for turn in each.turns()} <= answered(each) for each in conversations) and all(
        any(isinstance(event, PIPELINE_ENDS) for event in events[each.pipeline_id]) for each in pipelines
    )


def _judge_conversation(conversation: Conversation, events: Sequence[r.Record], chains: Chains) -> None:
    turns = conversation.turns()
    chains.turns += len(turns)
    for event in events:
        if isinstance(event, r.TurnFailed | r.MessageRejected):
            reason = event.error_type if isinstance(event, r.TurnFailed) else event.reason
            chains.turns_lost.append(f"{event.message_id}: {type(event).__name__} {reason}")
    for turn in turns:
        about = [event for event in events if getattr(event, "message_id", "") == turn.message_id]
        _judge_turn(turn, about, chains)
    seen = dict.fromkeys(_place(event) for event in events if isinstance(event, r.TurnStarted | r.TurnAppended))
    kinds = ("begun", "user", "assistant")
    if list(seen) != [(turn.number, turn.message_id, kind) for turn in turns for kind in kinds]:
        chains.turns_disordered.append(f"{conversation.name}: {[f'{n} {m} {kind}' for n, m, kind in seen]}")


def _place(event: r.TurnStarted | r.TurnAppended) -> tuple[int, str, str]:
    return event.turn_number, event.message_id, event.role if isinstance(event, r.TurnAppended) else "begun"


def _judge_turn(turn: Turn, events: Sequence[r.Record], chains: Chains) -> None:
    begun = sum(isinstance(event, r.TurnStarted) for event in events)
    if begun > 1:
        chains.turns_doubled.append(f"{turn.message_id} began {begun} times")
    for role, text in (("user", turn.said), ("assistant", turn.answer)):
        sides = [event for event in events if isinstance(event, r.TurnAppended) and event.role == role]
        if not sides:
            chains.turns_lost.append(f"{turn.message_id} has no side of the {role}")
        if len(sides) > 1:
            chains.turns_doubled.append(f"{turn.message_id} has {len(sides)} sides of the {role}")
        chains.told += [
            f"{turn.message_id}: the {role} said {side.content!r} instead of {text!r}"
            for side in sides
            if not carries(text, side.content, side.content_ref)
        ]


def _judge_pipeline(pipeline: Pipeline, events: Sequence[r.Record], chains: Chains) -> None:
    stages, name = pipeline.stages(), pipeline.request_id
    chains.stages += len(stages)
    for stage in stages:
        _judge_stage(pipeline, stage, events, chains)
    for step in sorted({stage.step for stage in stages}):
        _judge_join(pipeline, step, events, chains)
    ends = [event for event in events if isinstance(event, PIPELINE_ENDS)]
    if [type(end) for end in ends] != [r.PipelineCompleted]:
        said = [f"{type(end).__name__} {getattr(end, 'reason', getattr(end, 'error', ''))}" for end in ends]
        chains.pipelines_lost.append(f"{name} ended as {said}")
    for end in ends:
        if isinstance(end, r.PipelineCompleted) and not carries(stages[-1].output, end.output, end.output_ref):
            chains.told.append(f"{name}: the output is {end.output!r} instead of {stages[-1].output!r}")


def _judge_stage(pipeline: Pipeline, stage: Stage, events: Sequence[r.Record], chains: Chains) -> None:
    kinds = r.StageStarted | r.StageCompleted
    about = [event for event in events if isinstance(event, kinds) and event.stage_index == stage.index]
    for kind, times in Counter(type(event).__name__ for event in about).items():
        if times > 1:
            chains.stages_doubled.append(f"{pipeline.request_id}: {kind} of {stage.name} {times} times")
    chains.told += [
        f"{pipeline.request_id}: {stage.name} answered {event.output!r} instead of {stage.output!r}"
        for event in about
        if isinstance(event, r.StageCompleted) and not carries(stage.output, event.output, event.output_ref)
    ]


def _judge_join(pipeline: Pipeline, step: int, events: Sequence[r.Record], chains: Chains) -> None:
    """Of one step: each of its stages is started once, and none before all stages before it are completed."""
    stages = pipeline.stages()
    before = {stage.index for stage in stages if stage.step < step}
    here = [stage.index for stage in stages if stage.step == step]
    completed: set[int] = set()
    started: Counter[int] = Counter()
    for event in events:
        if isinstance(event, r.StageCompleted):
            completed.add(event.stage_index)
        elif isinstance(event, r.StageStarted) and event.stage_index in here:
            started[event.stage_index] += 1
            if missing := before - completed:
                names = ", ".join(stages[index].name for index in sorted(missing))
                chains.joins.append(f"{pipeline.request_id}: {event.stage_name} began before {names} completed")
    chains.joins += [
        f"{pipeline.request_id}: {stages[index].name} began {started[index]} times"
        for index in here
        if started[index] != 1
    ]


def carries(text: str, inline: str | None, ref: r.PayloadRef | None) -> bool:
    """Whether an event carries `text`, in itself or by reference."""
    if ref is None:
        return inline == text
    return ref.sha256 == sha256(text.encode()).hexdigest()
