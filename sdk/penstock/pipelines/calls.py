"""The client's methods about pipelines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from penstock.arguments import checked
from penstock.artifacts import ArtifactStore
from penstock.carried import CarriedText, read_text
from penstock.errors import InvalidInput, PipelineCancelledError, PipelineFailedError
from penstock.pipelines.arguments import (
    CancelPipelineArguments,
    PipelineArguments,
    PipelinesArguments,
    StartArguments,
)
from penstock.pipelines.definition import PipelineDefinition, definition_of
from penstock.pipelines.files import parsed
from penstock.pipelines.models import Pipeline, PipelineStage, StartedPipeline
from penstock_schemas import records as r

if TYPE_CHECKING:
    from penstock.pipelines.reading import PipelineReading
    from penstock.pipelines.running import Pipelining
    from penstock_schemas.records.pipelines import PipelineEvent


class PipelineCalls:
    """Part of `Client`."""

    _pipelining: Pipelining
    _pipelines: PipelineReading
    _payloads: ArtifactStore | None

    async def start_pipeline(
        self,
        definition: PipelineDefinition | Mapping[str, Any] | str,
        input: str,
        *,
        tenant: str,
        user: str | None = None,
        request_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StartedPipeline:
        """Run stages one after another; returns once Kafka has acknowledged it.

        Args:
            definition: the stages, as an object or as YAML or JSON text; docs/pipelines.md has every key.
            input: what the first stage is told; up to 256 KiB of UTF-8.
            tenant: who pays.
            user: the tenant's user; without one the tenant itself.
            request_id: your own id, unique within the tenant: the same request sent twice is answered once.
            metadata: your own labels, carried along.

        Raises:
            InvalidPipeline: what the definition says cannot be run; nothing was sent.
            InvalidInput: an argument cannot be used; nothing was sent.
            PayloadTooLarge: the input is, or all of it for one record; nothing was sent.
        """
        wanted = checked(
            StartArguments,
            tenant=tenant,
            input=input,
            request_id=str(uuid4()) if request_id is None else request_id,
            user=user,
            metadata=dict(metadata or {}),
        )
        checked_definition = parsed(definition) if isinstance(definition, str) else definition_of(definition)
        return await self._pipelining.start(checked_definition, wanted, named_by_caller=request_id is not None)

    async def follow_pipeline(
        self,
        pipeline: StartedPipeline | str,
        *,
        tenant: str | None = None,
        user: str | None = None,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[PipelineEvent, None]:
        """The events of a pipeline as they happen, up to its end.

        What `start_pipeline` or `resume_pipeline` returned is followed live from there on; an id from the
        pipeline's first event on, its past out of ClickHouse, without a gap or a repeat. Each stage's own progress
        is followed by `follow(event.execution_id)`.

        Args:
            pipeline: what was started, or its id, which needs `tenant`.
            tenant: whose it is.
            user: only if it is that user's.
            timeout_s: how long to wait for its end.

        Raises:
            PipelineRejected: it was not started; `reason` says why.
            NotFound: no such pipeline of this tenant or user.
            FollowTimeout: it did not end within `timeout_s` seconds.
        """
        which = pipeline if isinstance(pipeline, StartedPipeline) else _which(pipeline, tenant, user)
        async with aclosing(self._pipelining.follow(which, timeout_s)) as events:
            async for event in events:
                yield event

    async def pipeline_result(
        self,
        pipeline: StartedPipeline | str,
        *,
        tenant: str | None = None,
        user: str | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """Wait for a pipeline to end and return its output text, that of its last step.

        Raises:
            PipelineFailedError: a stage failed; `failed_at_stage` and `error` say which and why.
            PipelineCancelledError: somebody cancelled it.
            PipelineRejected, NotFound, FollowTimeout: as `follow_pipeline`.
        """
        ending: PipelineEvent | None = None
        events = self.follow_pipeline(pipeline, tenant=tenant, user=user, timeout_s=timeout_s)
        async with aclosing(events) as seen:
            async for event in seen:
                ending = event
        assert ending is not None, "following ends only after an event that ends the pipeline"
        return await self.pipeline_output_of(ending)

    async def pipeline_output_of(self, ending: PipelineEvent) -> str:
        """The output text of an event that ended a pipeline; see `pipeline_result` for what it raises."""
        match ending:
            case r.PipelineFailed():
                raise PipelineFailedError(ending.pipeline_id, ending.failed_at_stage, ending.error)
            case r.PipelineCancelled():
                raise PipelineCancelledError(ending.pipeline_id, ending.reason)
            case r.PipelineCompleted():
                return await read_text(CarriedText(ending.output, ending.output_ref), self._payloads)
        raise InvalidInput(f"{type(ending).__name__} does not end a pipeline")

    async def pipeline(self, pipeline_id: str, *, tenant: str, user: str | None = None) -> Pipeline:
        """A pipeline with its stages, as of now: from ClickHouse, and what it has not loaded from Kafka.

        Raises:
            NotFound: this tenant, or user where one is given, has no such pipeline.
            PipelineRejected: it was refused when it was to start.
        """
        return await self._pipelining.state(_which(pipeline_id, tenant, user))

    async def output_of_stage(self, stage: PipelineStage | Pipeline) -> str:
        """What a stage, or the whole pipeline, answered, fetched where it travels by reference.

        Empty where it has not answered.

        Raises:
            InvalidInput: by reference, and no artifact store is configured here.
            ArtifactStoreUnreachable, NotFound: the store does not give it.
        """
        return await read_text(CarriedText(stage.output, stage.output_ref), self._payloads)

    async def list_pipelines(
        self, tenant: str, *, user: str | None = None, status: str | None = None, limit: int = 50
    ) -> Sequence[Pipeline]:
        """A tenant's pipelines without their stages, newest first, as far as ClickHouse has loaded them."""
        return await self._pipelines.list(
            checked(PipelinesArguments, tenant=tenant, user=user, status=status, limit=limit)
        )

    async def cancel_pipeline(
        self, pipeline_id: str, *, tenant: str, user: str | None = None, reason: str = ""
    ) -> Pipeline:
        """End a pipeline before its result; returns its state once nothing of it runs.

        Raises:
            NotFound: this tenant or user has no such pipeline.
            AlreadyEnded: it had ended before.
            NotConfirmed: it was asked for, and it has not ended yet.
        """
        return await self._pipelining.cancel(
            checked(CancelPipelineArguments, tenant=tenant, user=user, pipeline_id=pipeline_id, reason=reason)
        )

    async def resume_pipeline(self, pipeline_id: str, *, tenant: str, user: str | None = None) -> StartedPipeline:
        """Go on with a failed pipeline at the step that failed; returns once it does.

        What was completed is kept, also in the step that failed. `follow_pipeline` and `pipeline_result` take what
        is returned.

        Raises:
            NotFound: this tenant or user has no such pipeline.
            PipelineRejected: it has not failed, or the rest of it does not fit the budget.
            NotConfirmed: it was asked for, and nothing has answered in time.
        """
        return await self._pipelining.resume(_which(pipeline_id, tenant, user))


def _which(pipeline_id: str, tenant: str | None, user: str | None) -> PipelineArguments:
    if tenant is None:
        raise InvalidInput(f"tenant None: pipeline {pipeline_id!r} is found by its id only within its tenant")
    return checked(PipelineArguments, tenant=tenant, user=user, pipeline_id=pipeline_id)
