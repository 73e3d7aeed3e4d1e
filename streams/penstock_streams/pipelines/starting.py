"""Taking a pipeline in: its rows, and what is to be reserved for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from penstock.kept import EVERYTHING
from penstock.pipelines.templates import INITIAL_INPUT, OUTPUT_OF, PREVIOUS_OUTPUT, placeholders
from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.accounts.reservations import DEFAULT_OUTPUT_TOKENS, OVERHEAD_TOKENS
from penstock_streams.kit import Decision, Event, Output
from penstock_streams.pipelines import model as m
from penstock_streams.pipelines.payloads import HeldPipeline, size_of_input
from penstock_streams.pipelines.validation import request_digest
from penstock_streams.work import Ref

LABEL_TOKENS = 40
"""Reserved for the label of each output of a parallel step."""


def taken_in(start: r.StartPipeline, event: Event, decision: Decision) -> m.Pipeline:
    """The rows of a new pipeline but its head, which is returned."""
    pipeline_id, size = start.pipeline_id, size_of_input(start)
    held = start.input_ref if isinstance(start, HeldPipeline) else None
    text = m.Text(size, None if held else start.initial_input, Ref.of(held) if held else None)
    decision.puts[m.origin_key(pipeline_id)] = m.Origin(
        start.request_id, request_digest(start), start.name, text, start.metadata, event.trace
    )
    specs = specs_of(start.stages, size)
    for index, spec in enumerate(specs):
        decision.puts[m.spec_key(pipeline_id, index)] = spec
    return m.Pipeline(
        tenant_id=start.tenant_id,
        user_id=start.user_id,
        state="running",
        stages=len(specs),
        steps=specs[-1].step + 1,
        asked_by=start.event_id,
        end=specs[0].end,
    )


def specs_of(stages: list[r.StageSpec], input_bytes: int) -> list[m.Spec]:
    """The stages as they are kept, each with what is reserved for it.

    An output has at most as many tokens when it is read as when it was written; every other byte is at most one
    token, as in accounts.
    """
    numbers = {stage.name: index for index, stage in enumerate(stages)}
    outputs = [stage.max_tokens or DEFAULT_OUTPUT_TOKENS for stage in stages]
    specs: list[m.Spec] = []
    before = 0
    """Tokens of the step before, with labels."""
    hand_on: tuple[int, ...] = ()
    """Stages of the step before whose files are handed on."""
    for _, members in groupby(enumerate(stages), lambda numbered: numbered[1].step):
        step = list(members)
        first, end = step[0][0], step[-1][0] + 1
        for index, stage in step:
            template = stage.prompt_template
            if template is None:
                template = f"{{{PREVIOUS_OUTPUT}}}" if stage.step else f"{{{INITIAL_INPUT}}}"
            named = placeholders(template)
            tokens = {INITIAL_INPUT: input_bytes, PREVIOUS_OUTPUT: before}
            refers_to = {
                n.removeprefix(OUTPUT_OF): numbers[n.removeprefix(OUTPUT_OF)] for n in named if n not in tokens
            }
            tokens |= {OUTPUT_OF + name: outputs[number] for name, number in refers_to.items()}
            specs.append(
                m.Spec(
                    name=stage.name,
                    agent_type=stage.agent_type,
                    queue=stage.queue,
                    model=stage.model,
                    template=stage.prompt_template,
                    max_attempts=stage.max_attempts,
                    timeout_s=stage.timeout_s,
                    max_tokens=stage.max_tokens,
                    step=stage.step,
                    first=first,
                    end=end,
                    refers_to=refers_to,
                    input_tokens=OVERHEAD_TOKENS + len(template.encode()) + sum(tokens[name] for name in named),
                    output_tokens=outputs[index],
                    artifact_patterns=_patterns(stage),
                    receives_from=hand_on,
                )
            )
        hand_on = tuple(index for index, stage in step if stage.artifacts)
        before = sum(outputs[first:end]) + LABEL_TOKENS * (end - first)
    return specs


def _patterns(stage: r.StageSpec) -> tuple[str, ...]:
    return tuple(stage.artifact_patterns or [EVERYTHING]) if stage.artifacts else ()


def reservation(pipeline_id: str, head: m.Pipeline, specs: Iterable[m.Spec]) -> Output:
    """Ask accounts for what `specs` may use together."""
    needs: dict[str | None, list[m.Spec]] = {}
    for spec in specs:
        needs.setdefault(spec.model, []).append(spec)
    command = r.ReservePipeline(
        tenant_id=head.tenant_id,
        pipeline_id=pipeline_id,
        epoch=head.epoch,
        user_id=head.user_id,
        needs=[
            r.ModelNeed(
                model=model,
                stages=len(those),
                input_tokens=sum(spec.input_tokens for spec in those),
                output_tokens=sum(spec.output_tokens for spec in those),
            )
            for model, those in needs.items()
        ],
    )
    return Output(topics.ACCOUNTS_COMMANDS, command)
