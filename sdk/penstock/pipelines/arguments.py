"""The caller's arguments about pipelines, checked before anything is sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from penstock.arguments import MAX_LISTED, Arguments, CallerId, CallerTenant, Text
from penstock_schemas.topics import MAX_REASON_CHARS

PipelineStatus = Literal["running", "completed", "failed", "cancelled"]


class StartArguments(Arguments):
    """Arguments of `Client.start_pipeline`, besides the definition."""

    tenant: CallerTenant
    input: Text
    request_id: CallerId
    user: CallerId | None = None
    metadata: dict[Text, Text] = Field(default_factory=dict)


class PipelineArguments(Arguments):
    """Which pipeline."""

    tenant: CallerTenant
    pipeline_id: CallerId
    user: CallerId | None = None
    """Only if it is that user's; None for whichever."""


class CancelPipelineArguments(PipelineArguments):
    """Arguments of `Client.cancel_pipeline`."""

    reason: Annotated[Text, Field(max_length=MAX_REASON_CHARS)] = ""


class PipelinesArguments(Arguments):
    """Arguments of `Client.list_pipelines`."""

    tenant: CallerTenant
    user: CallerId | None = None
    status: PipelineStatus | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 50
