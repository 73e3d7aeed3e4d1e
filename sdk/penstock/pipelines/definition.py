"""What a pipeline is made of, as its author writes it: stages one after another, some of them side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from penstock.arguments import CallerId, Text
from penstock.errors import SHOWN_CHARACTERS, InvalidPipeline
from penstock.pipelines.checking import check
from penstock_schemas.records.base import Name
from penstock_schemas.topics import DEFAULT_QUEUE

GROUP, STAGE = "group", "stage"


def _plain_line(name: str) -> str:
    if name != name.strip():
        raise ValueError("must not begin or end with a space")
    if not name.isprintable() or set("{}") & set(name):
        raise ValueError("must be one line without braces: prompts name a stage by {outputs.NAME}")
    return name


def _artifacts(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(pattern, str) for pattern in value):
        return tuple(value)
    raise ValueError("must be true, false, or a list of patterns such as out/*.csv")


StageName = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain_line)]


class Part(BaseModel):
    """Base of what a definition is made of."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class StageDefinition(Part):
    """One agent's run."""

    agent: Name
    """Under which name the agent is registered with the workers."""
    name: StageName | None = None
    """Default: `Stage 1`, `Stage 2`, … by its place among all stages."""
    queue: Name = DEFAULT_QUEUE
    """Which workers."""
    model: CallerId | None = None
    prompt: Text | None = Field(default=None, alias="prompt_template")
    """What the agent is told; `prompt_template` is the same. Default: `{previous_output}`."""
    max_attempts: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    """In all; `retries` counts those after the first instead."""
    timeout_s: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    """Run deadline in seconds, of one attempt."""
    max_tokens: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    """Ceiling of output tokens."""
    artifacts: Annotated[bool | tuple[str, ...], PlainValidator(_artifacts)] = False
    """Files it leaves are handed to the next step: all, or those whose path matches one of these patterns."""

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _one_name_each(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if "parallel" in value:
            raise PydanticCustomError("nested_parallel", "a parallel group cannot contain another one")
        if "prompt" in value and "prompt_template" in value:
            raise PydanticCustomError("invalid_field", "prompt and prompt_template are the same; give one")
        if "retries" not in value:
            return value
        if "max_attempts" in value:
            raise PydanticCustomError("invalid_field", "retries is max_attempts - 1; give one of them")
        retries = value["retries"]
        if type(retries) is not int or not 0 <= retries < (1 << 31) - 1:
            raise PydanticCustomError("invalid_field", "retries must be a whole number from 0 on")
        return {key: given for key, given in value.items() if key != "retries"} | {"max_attempts": retries + 1}


class GroupDefinition(Part):
    """Stages that run side by side; the next one waits for all of them."""

    parallel: Annotated[tuple[StageDefinition, ...], Field(strict=False)]
    name: StageName | None = None
    """For readers only."""


def _kind(entry: Any) -> str:
    return GROUP if isinstance(entry, GroupDefinition) or "parallel" in _keys(entry) else STAGE


def _keys(entry: Any) -> Mapping[str, Any]:
    return entry if isinstance(entry, Mapping) else {}


Entry = Annotated[
    Annotated[GroupDefinition, Tag(GROUP)] | Annotated[StageDefinition, Tag(STAGE)], Discriminator(_kind)
]


class FlatStage(NamedTuple):
    """A stage with its place and its name."""

    step: int
    """From 0; stages of one step run side by side."""
    name: str
    definition: StageDefinition

    @property
    def prompt_template(self) -> str | None:
        return self.definition.prompt

    @property
    def artifacts(self) -> bool:
        return bool(self.definition.artifacts)

    @property
    def artifact_patterns(self) -> tuple[str, ...]:
        patterns = self.definition.artifacts
        return () if isinstance(patterns, bool) else patterns


class PipelineDefinition(Part):
    """A pipeline that can be run."""

    name: Annotated[Text, Field(min_length=1, max_length=128)] | None = None
    stages: Annotated[tuple[Entry, ...], Field(strict=False)]

    def flat(self) -> tuple[FlatStage, ...]:
        """Every stage in order, named."""
        found: list[FlatStage] = []
        for step, entry in enumerate(self.stages):
            for stage in entry.parallel if isinstance(entry, GroupDefinition) else (entry,):
                found.append(FlatStage(step, stage.name or f"Stage {len(found) + 1}", stage))
        return tuple(found)


def definition_of(value: PipelineDefinition | Mapping[str, Any]) -> PipelineDefinition:
    """`value` as a definition whose stages fit together.

    Raises:
        InvalidPipeline: the first thing that is wrong, where it is, and what is allowed.
    """
    if not isinstance(value, PipelineDefinition):
        try:
            value = PipelineDefinition.model_validate(value)
        except ValidationError as exc:
            raise _invalid(exc) from exc
    for number, entry in enumerate(value.stages):
        if isinstance(entry, GroupDefinition) and not entry.parallel:
            why = "a parallel group needs at least one stage"
            raise InvalidPipeline("no_stages", f"stages[{number}].parallel", "", why)
    check(value.flat())
    return value


SAID_OF = {"model_type": "must be an object with keys", "tuple_type": "must be a list"}
"""Kinds of errors whose own words name Python's types."""


def _invalid(exc: ValidationError) -> InvalidPipeline:
    problems = exc.errors(include_url=False, include_context=False)
    # A misspelt key says more than the key that is missing for it.
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    where = ""
    for part in problem["loc"]:
        if part not in (GROUP, STAGE):  # pydantic's own names of the two kinds of entry
            where += f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" if where else _shown(part)
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = ", ".join(_known(problem["loc"]))
        return InvalidPipeline("invalid_field", where, "", f"unknown key; known are {known}")
    why = SAID_OF.get(kind, problem["msg"].removeprefix("Value error, "))
    if kind == "missing":
        return InvalidPipeline("invalid_field", where, "", "is missing")
    if kind in ("nested_parallel", "invalid_field"):
        return InvalidPipeline(kind, where, "", why)
    given = problem["input"]
    # A list or object is named by its kind only: it may be large, and aliases can make it larger than memory.
    text = str(given) if isinstance(given, str | int | float) else ""
    kind_of = "" if text else f", not {'nothing' if given is None else type(given).__name__}"
    return InvalidPipeline("invalid_field", where or "the definition", text, why + kind_of)


def _shown(key: str) -> str:
    """A key as an error may print it: it is the caller's, and may be anything."""
    return key if key.isprintable() and len(key) <= SHOWN_CHARACTERS else repr(key[:SHOWN_CHARACTERS])


def _known(place: tuple[int | str, ...]) -> list[str]:
    """The keys that are known where an unknown one is."""
    if len(place) == 1:
        return list(PipelineDefinition.model_fields)
    if GROUP in place and "parallel" not in place:
        return list(GroupDefinition.model_fields)
    return [*StageDefinition.model_fields, "prompt_template", "retries"]
