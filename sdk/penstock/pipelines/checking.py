"""Whether stages can be run as a pipeline: sizes, names, and who may refer to whom. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Protocol

from penstock.errors import InvalidPipeline, InvalidTemplate
from penstock.kept import MAX_PATTERNS, patterns_problem
from penstock.pipelines.templates import OUTPUT_OF, PREVIOUS_OUTPUT, placeholders
from penstock_schemas.topics import MAX_STAGES, MAX_STEP_STAGES, MAX_TEMPLATE_BYTES

MAX_HANDING = 32
"""Each request of the step after it carries a reference to the files of each of them."""
MAX_FOLDER_BYTES = 255
"""Linux's."""
REASONS = {
    "syntax": "the text is not YAML or JSON, or not an object",
    "duplicate_key": "a key is there twice",
    "invalid_field": "an unknown key, a missing one, or a value that cannot be used",
    "nested_parallel": "a parallel group within a parallel group",
    "no_stages": "a pipeline or a parallel group is empty",
    "too_many_stages": f"above {MAX_STAGES:,} stages, or {MAX_STEP_STAGES:,} branches of one group",
    "duplicate_name": "two stages have one name",
    "prompt_too_large": f"a prompt above {MAX_TEMPLATE_BYTES:,} bytes",
    "invalid_placeholder": "a brace in a prompt begins like a placeholder and is none",
    "unknown_stage": "a placeholder names no stage of the pipeline",
    "refers_to_itself": "a stage asks for its own output",
    "refers_to_own_group": "a stage asks for the output of one that runs beside it",
    "refers_to_later": "a stage asks for the output of one that comes after it",
    "cycle": "a stage asks for the output of a later one, which needs its own",
    "no_previous_output": "the first stage asks for the output of the one before it",
    "invalid_artifacts": f"a pattern that cannot be used, or above {MAX_PATTERNS} of them; above {MAX_HANDING} "
    "branches of a group that hand on files, or one whose name is no folder's",
}


class Stage(Protocol):
    """What is looked at of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def prompt_template(self) -> str | None: ...
    @property
    def artifacts(self) -> bool: ...
    @property
    def artifact_patterns(self) -> Sequence[str]: ...


def check(stages: Sequence[Stage]) -> None:
    """Refuse `stages`, in the order of their steps, where they cannot be run as a pipeline.

    Raises:
        InvalidPipeline: the first thing that is wrong.
    """
    if not stages:
        raise InvalidPipeline("no_stages", "stages", "", "a pipeline needs at least one stage")
    if len(stages) > MAX_STAGES:
        raise InvalidPipeline(
            "too_many_stages", "stages", "", f"{len(stages):,} stages; a pipeline has at most {MAX_STAGES:,}"
        )
    for step, group in groupby(stages, lambda stage: stage.step):
        if (branches := len(list(group))) > MAX_STEP_STAGES:
            why = f"{branches:,} branches; a parallel group has at most {MAX_STEP_STAGES:,}"
            raise InvalidPipeline("too_many_stages", f"step {step + 1}", "", why)
    for _, group in groupby(stages, lambda stage: stage.step):
        _check_artifacts(list(group))
    by_name: dict[str, Stage] = {}
    for stage in stages:
        if stage.name in by_name:
            why = "another stage has that name, and outputs are named by it"
            raise InvalidPipeline("duplicate_name", _of(stage), "", why)
        by_name[stage.name] = stage
    wanted = {stage.name: _placeholders(stage) for stage in stages}
    for stage in stages:
        for placeholder in wanted[stage.name]:
            _check_reference(stage, placeholder, by_name, wanted)


def _check_artifacts(step: Sequence[Stage]) -> None:
    handing = [stage for stage in step if stage.artifacts]
    if len(handing) > MAX_HANDING:
        why = f"{len(handing)} stages that run side by side hand on files; at most {MAX_HANDING}"
        raise InvalidPipeline("invalid_artifacts", f"step {step[0].step + 1}", "", why)
    for stage in step:
        problem = patterns_problem(stage.artifact_patterns)
        if stage.artifact_patterns and not stage.artifacts:
            problem = "artifact_patterns without artifacts"
        elif stage.artifacts and len(step) > 1 and not _names_folder(stage.name):
            problem = (
                "its files are put below a folder of its name: no slash, no dot at the start, up to 255 bytes"
            )
        if problem:
            raise InvalidPipeline("invalid_artifacts", _of(stage), "", problem)


def _names_folder(name: str) -> bool:
    return not name.startswith(".") and not set("/\0") & set(name) and len(name.encode()) <= MAX_FOLDER_BYTES


def _placeholders(stage: Stage) -> tuple[str, ...]:
    if (size := len((stage.prompt_template or "").encode())) > MAX_TEMPLATE_BYTES:
        why = f"a prompt of {size:,} bytes; at most {MAX_TEMPLATE_BYTES:,}"
        raise InvalidPipeline("prompt_too_large", _of(stage), "", why)
    try:
        return tuple(dict.fromkeys(placeholders(stage.prompt_template or "")))
    except InvalidTemplate as exc:
        raise InvalidPipeline("invalid_placeholder", _of(stage), exc.text, exc.why) from exc


def _check_reference(
    stage: Stage, placeholder: str, by_name: Mapping[str, Stage], wanted: Mapping[str, Sequence[str]]
) -> None:
    text = f"{{{placeholder}}}"
    if placeholder == PREVIOUS_OUTPUT and stage.step == 0:
        raise InvalidPipeline(
            "no_previous_output", _of(stage), text, "nothing comes before it; {initial_input} is what it gets"
        )
    if not placeholder.startswith(OUTPUT_OF):
        return
    meant = by_name.get(placeholder.removeprefix(OUTPUT_OF))
    if meant is None:
        known = ", ".join(other.name for other in by_name.values() if other.step < stage.step)
        shown = known if len(known) <= 200 else f"{known[:200]}…"
        why = f"no stage has that name; before it are: {shown}" if known else "no stage has that name"
        raise InvalidPipeline("unknown_stage", _of(stage), text, why)
    if meant is stage:
        raise InvalidPipeline("refers_to_itself", _of(stage), text, "a stage cannot have its own output")
    if meant.step == stage.step:
        why = "that stage runs beside it, in the same parallel group"
        raise InvalidPipeline("refers_to_own_group", _of(stage), text, why)
    if meant.step > stage.step:
        if way := _way(meant.name, stage.name, wanted):
            why = f"a cycle: {' → '.join([stage.name, *way])}"
            raise InvalidPipeline("cycle", _of(stage), text, why)
        raise InvalidPipeline("refers_to_later", _of(stage), text, "that stage runs later")


def _way(start: str, goal: str, wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """Names along references from `start` to `goal`; empty where there is no way."""
    came_from = {start: ""}
    to_visit = [start]
    for name in to_visit:
        if name == goal:
            way = [name]
            while came_from[way[0]]:
                way.insert(0, came_from[way[0]])
            return way
        for placeholder in wanted.get(name, ()):
            next_name = placeholder.removeprefix(OUTPUT_OF)
            if placeholder.startswith(OUTPUT_OF) and next_name not in came_from:
                came_from[next_name] = name
                to_visit.append(next_name)
    return []


def _of(stage: Stage) -> str:
    return f"stage {stage.name!r}"
