"""Records on the progress topic: what a run reports while it runs, ordered by (epoch, seq)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from penstock_schemas.records.base import Epoch, Int32, Int64
from penstock_schemas.records.executions import ExecutionRecord


class ProgressRecord(ExecutionRecord):
    """Base of every progress record."""

    epoch: Epoch
    seq: Annotated[int, Field(ge=1, lt=1 << 63)]
    """Position within (execution_id, epoch), from 1 without gaps."""


class ProgressReported(ProgressRecord):
    """Free-form progress of a run."""

    message: str
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class StepStarted(ProgressRecord):
    """A step of the agent began."""

    step_number: Int32
    step_type: str
    name: str


class StepFinished(ProgressRecord):
    """A step of the agent ended."""

    step_number: Int32
    step_type: str
    status: str
    """`ok` or `error`."""
    duration_ms: Int64
    error: str | None = None


class ToolCalled(ProgressRecord):
    """The agent called a tool."""

    tool_name: str
    status: str
    """`success` or `error`."""
    duration_ms: Int64
    summary: str | None = None


class OutputEmitted(ProgressRecord):
    """A piece of output text, streamed before the result."""

    text: str


class ArtifactKept(ProgressRecord):
    """A file of the workspace was put into the artifact store.

    It counts where its attempt is the accepted one; of one path the last does.
    """

    path: str
    """Below the workspace, with slashes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of its bytes, under which the artifact store has them."""
    size_bytes: Annotated[int, Field(ge=0, lt=1 << 63)]
