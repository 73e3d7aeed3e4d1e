"""What a stage is told: its template, filled in from the input and earlier outputs. Pure.

Where every text it names is small and at hand, the decision that starts the stage puts it together. Otherwise the
stage writes itself a WriteInputs, whose preparation does the same with texts of the artifact store (`payloads`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from penstock.pipelines.templates import (
    DEFAULT_TEMPLATE,
    INITIAL_INPUT,
    OUTPUT_OF,
    PREVIOUS_OUTPUT,
    placeholders,
    render,
)
from penstock_schemas.topics import MAX_INLINE_BYTES
from penstock_streams.kit import Rows
from penstock_streams.pipelines import model as m
from penstock_streams.pipelines.policy import MAX_CARRIED_OUTPUTS, MAX_CARRIED_OUTPUTS_BYTES
from penstock_streams.work import Earlier, Handed

Part = tuple[str, m.Text]
"""The label and the output of a stage; the label of one that was alone in its step is empty."""


def spec_of(rows: Rows, pipeline_id: str, index: int) -> m.Spec:
    """What stage `index` is to do."""
    spec = rows.get(m.spec_key(pipeline_id, index), m.Spec)
    if spec is None:
        raise LookupError(f"stage {index} of pipeline {pipeline_id} is missing")
    return spec


def origin_of(rows: Rows, pipeline_id: str) -> m.Origin:
    """What was asked for."""
    origin = rows.get(m.origin_key(pipeline_id), m.Origin)
    if origin is None:
        raise LookupError(f"the origin of pipeline {pipeline_id} is missing")
    return origin


def output_of(rows: Rows, pipeline_id: str, index: int) -> m.Text:
    """What a completed stage answered."""
    stage = rows.get(m.stage_key(pipeline_id, index), m.Stage)
    if stage is None or stage.output is None:
        raise LookupError(f"stage {index} of pipeline {pipeline_id} has no output")
    return stage.output


def parts_of_step(rows: Rows, pipeline_id: str, first: int, end: int) -> list[Part]:
    """The outputs of a step, in the order of the definition."""
    if end - first == 1:
        return [("", output_of(rows, pipeline_id, first))]
    return [(spec_of(rows, pipeline_id, i).name, output_of(rows, pipeline_id, i)) for i in range(first, end)]


def joined(parts: list[tuple[str, str]]) -> str:
    """The outputs of a step as one text, each under the name of its stage."""
    return "\n\n".join(f"## {label}\n\n{text}" if label else text for label, text in parts)


def earlier_outputs(rows: Rows, pipeline_id: str, end: int) -> Iterator[Earlier]:
    """The outputs of all stages before number `end`, as an agent sees them."""
    for index in range(end):
        output = output_of(rows, pipeline_id, index)
        yield Earlier(spec_of(rows, pipeline_id, index).name, output.inline, output.ref)


def handed_to(rows: Rows, pipeline_id: str, spec: m.Spec) -> Iterator[Handed]:
    """The files a stage finds in its workspace; those of a branch of a group below a folder of its name."""
    for index in spec.receives_from:
        stage, giver = rows.get(m.stage_key(pipeline_id, index), m.Stage), spec_of(rows, pipeline_id, index)
        if stage is not None and stage.artifacts is not None:
            yield Handed("" if giver.end - giver.first == 1 else giver.name, stage.artifacts)


@dataclass(frozen=True, slots=True)
class Sources:
    """The texts that the stages of one step may name."""

    rows: Rows
    pipeline_id: str
    input: m.Text
    first: int
    """Number of the step's first stage."""
    previous: list[Part]
    """The outputs of the step before."""

    def parts(self, spec: m.Spec, placeholder: str) -> list[Part]:
        """What `placeholder` of the stage's template stands for."""
        if placeholder == INITIAL_INPUT:
            return [("", self.input)]
        if placeholder == PREVIOUS_OUTPUT:
            return self.previous
        index = spec.refers_to[placeholder.removeprefix(OUTPUT_OF)]
        return [("", output_of(self.rows, self.pipeline_id, index))]


def sources_of(rows: Rows, pipeline_id: str, origin: m.Origin, first: int) -> Sources:
    """For the stages of the step that begins with number `first`, which may be the one after the last stage."""
    previous = (
        parts_of_step(rows, pipeline_id, spec_of(rows, pipeline_id, first - 1).first, first) if first else []
    )
    return Sources(rows, pipeline_id, origin.input, first, previous)


def template_of(spec: m.Spec) -> str:
    """Its own, or what every stage of its place gets."""
    if spec.template is not None:
        return spec.template
    return DEFAULT_TEMPLATE if spec.step else f"{{{INITIAL_INPUT}}}"


def passed_on(sources: Sources, spec: m.Spec) -> m.Text | None:
    """The one text that the template is nothing but; it is passed on as it lies, also by reference."""
    template = template_of(spec)
    named = placeholders(template)
    if len(named) != 1 or template != f"{{{named[0]}}}":
        return None
    parts = sources.parts(spec, named[0])
    return parts[0][1] if len(parts) == 1 and not parts[0][0] else None


def told_bytes(sources: Sources, spec: m.Spec) -> int:
    """How large what the stage is told will be, without putting it together; a little more where it has labels."""
    template = template_of(spec)
    named = placeholders(template)
    sizes = {
        name: sum(text.size + 4 * len(label) + 8 for label, text in sources.parts(spec, name))
        for name in set(named)
    }
    return len(template.encode()) + sum(sizes[name] for name in named)


def fill_in(sources: Sources, spec: m.Spec, read: Callable[[m.Text], str]) -> str:
    """The stage's template with every placeholder replaced."""
    template = template_of(spec)
    values = {
        name: joined([(label, read(text)) for label, text in sources.parts(spec, name)])
        for name in set(placeholders(template))
    }
    return render(template, values)


def at_hand(sources: Sources, spec: m.Spec) -> m.Text | None:
    """What the stage is told, where that needs nothing of the artifact store; otherwise None."""
    if (whole := passed_on(sources, spec)) is not None:
        return whole
    texts = [text for name in placeholders(template_of(spec)) for _, text in sources.parts(spec, name)]
    if any(text.inline is None for text in texts) or told_bytes(sources, spec) > MAX_INLINE_BYTES:
        return None
    told = fill_in(sources, spec, inline)
    return m.Text(len(told.encode()), told)


def inline(text: m.Text) -> str:
    """Of a text that is not a reference."""
    assert text.inline is not None, "a text by reference was taken for one at hand"
    return text.inline


def few_outputs(head: m.Pipeline) -> bool:
    """Whether what earlier stages answered is carried by those that start now, and not put into a document."""
    return head.first <= MAX_CARRIED_OUTPUTS and head.inline_bytes <= MAX_CARRIED_OUTPUTS_BYTES
