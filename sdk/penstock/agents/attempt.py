"""What one attempt at an execution was asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PastMessage:
    """What one side said in an earlier turn of the conversation."""

    turn_number: int
    role: str
    """`user` or `assistant`."""
    content: str
    said_at: datetime


@dataclass(frozen=True, slots=True)
class StageOutput:
    """What an earlier stage of the pipeline answered."""

    stage: str
    """Name of the stage."""
    output: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt an agent works for, as the request named it."""

    execution_id: str
    epoch: int
    tenant_id: str
    agent_type: str
    input: str
    user_id: str | None = None
    model: str | None = None
    max_tokens: int | None = None
    """Ceiling of output tokens over the whole execution; None for no ceiling."""
    reserved_tokens: int | None = None
    """What all calls of all attempts may use together, of all kinds; None for no ceiling."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    conversation_id: str | None = None
    turn_number: int | None = None
    """Number of the turn this run answers, from 1."""
    history: Sequence[PastMessage] = ()
    pipeline_id: str | None = None
    previous_outputs: Sequence[StageOutput] = ()
