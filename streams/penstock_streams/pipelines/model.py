"""What pipelines keeps: a small head and rows per stage, so the end of a branch writes the same in any fan-out.

Stages are numbered in the order of the definition; those of one step are neighbours, so a step is a range.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock_schemas.traces import TraceContext
from penstock_streams.kit import Row
from penstock_streams.work import Ref

State = Literal["running", "stopping", "completed", "failed", "cancelled", "refused"]


class Text(msgspec.Struct, frozen=True, array_like=True):
    """An input or output: inline up to 4 KiB, above it by reference."""

    size: int
    """Bytes."""
    inline: str | None
    ref: Ref | None = None


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """The first stage that failed."""

    index: int
    name: str
    error_type: str
    error: str


class Pipeline(Row, frozen=True, tag="pipeline"):
    """The head: all that changes with every stage, and nothing that grows."""

    tenant_id: str
    user_id: str | None
    state: State
    stages: int
    steps: int
    asked_by: str
    """`event_id` of what is answered where nothing can be reserved."""
    epoch: int = 1
    reserving: bool = True
    """Accounts has been asked and has not answered."""
    step: int = 0
    first: int = 0
    """Number of the first stage of the step that runs."""
    end: int = 0
    """Number after its last one."""
    cursor: int = 0
    """Number of the next stage to be started."""
    writing: bool = False
    """What the next stages are told is being written to the artifact store."""
    stop_cursor: int = 0
    """Number of the next stage to be told to stop, once the pipeline is stopping."""
    running: int = 0
    """Stages that were started and have not ended."""
    done: int = 0
    """Stages of this step that were completed."""
    step_bytes: int = 0
    """Of those of their outputs that are kept inline."""
    inline_bytes: int = 0
    """The same of all steps before."""
    failure: Failure | None = None
    cancelled_because: str | None = None
    forgotten: int = 0
    """Stages whose rows are gone, once it is being forgotten."""


class Origin(Row, frozen=True, tag="origin"):
    """What was asked for. Never changes."""

    request_id: str
    digest: str
    name: str | None
    input: Text
    metadata: dict[str, str]
    trace: TraceContext | None


class Spec(Row, frozen=True, tag="spec"):
    """One stage as its author wants it. Never changes."""

    name: str
    agent_type: str
    queue: str
    model: str | None
    template: str | None
    max_attempts: int | None
    timeout_s: int | None
    max_tokens: int | None
    step: int
    first: int
    """Number of the first stage of its step."""
    end: int
    """Number after its step's last one."""
    refers_to: dict[str, int]
    """Numbers of the stages its template names."""
    input_tokens: int
    """Reserved for it, as is the output below."""
    output_tokens: int
    artifact_patterns: tuple[str, ...] = ()
    """Of the files it hands to the next step."""
    receives_from: tuple[int, ...] = ()
    """Numbers of the stages of the step before that hand on files."""


class Stage(Row, frozen=True, tag="stage"):
    """A stage that was started."""

    state: Literal["running", "completed", "ended"]
    """Ended is without a result."""
    execution_id: str
    output: Text | None = None
    artifacts: Ref | None = None
    """The list of the files it kept."""


ROW_TYPES = (Pipeline, Origin, Spec, Stage)


def pipeline_key(pipeline_id: str) -> str:
    return f"pipeline/{pipeline_id}"


def origin_key(pipeline_id: str) -> str:
    return f"origin/{pipeline_id}"


def spec_key(pipeline_id: str, index: int) -> str:
    return f"spec/{pipeline_id}/{index}"


def stage_key(pipeline_id: str, index: int) -> str:
    return f"stage/{pipeline_id}/{index}"


def going_on_name(pipeline_id: str) -> str:
    """Name of the timer that goes on starting or stopping the stages of a step."""
    return f"going-on/{pipeline_id}"
