"""Asking for pipelines, and seeing what becomes of them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import UnionType
from uuid import uuid4

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import (
    AlreadyEnded,
    FollowTimeout,
    NotConfirmed,
    NotFound,
    PayloadTooLarge,
    PipelineRejected,
    RecordTooLarge,
)
from penstock.event_tail import CONFIRMED_WITHIN_S, EventTail
from penstock.pipelines.arguments import CancelPipelineArguments, PipelineArguments, StartArguments
from penstock.pipelines.definition import FlatStage, PipelineDefinition
from penstock.pipelines.models import Pipeline, StartedPipeline
from penstock.pipelines.reading import PipelineReading
from penstock.pipelines.state import Ending, is_about, state_of
from penstock.submitting import Submitting, now_us
from penstock.tracing import sending_span
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.records.pipelines import PipelineEvent, PipelineRecord
from penstock_schemas.topics import MAX_REQUEST_INPUT_BYTES, PIPELINES_EVENTS, PIPELINES_REQUESTS

CANCELLED_WITHIN_S = 45.0
"""Longer than the default lease: a stage whose worker has just died ends when its lease does."""
REFUSED_WITHIN_S = 2.0
"""How long a refusal of a repeated request is waited for: an exact repeat is answered by silence."""


class Pipelining:
    """Starts, follows, cancels and resumes for one client."""

    def __init__(
        self, kafka: KafkaConnection, encoding: Encoding, submitting: Submitting, reading: PipelineReading
    ) -> None:
        self._kafka = kafka
        self._submitting = submitting
        self._reading = reading
        self._tail = EventTail(kafka, encoding, PIPELINES_EVENTS)

    async def start(
        self, definition: PipelineDefinition, wanted: StartArguments, *, named_by_caller: bool
    ) -> StartedPipeline:
        """Request one pipeline.

        1. The end of its partition of the events is captured. A crash after this leaves nothing.
        2. The request is sent and acknowledged. A crash between the two leaves the caller not knowing; the same
           request id may be sent again, and is answered once.
        """
        if (size := len(wanted.input.encode())) > MAX_REQUEST_INPUT_BYTES:
            raise PayloadTooLarge(f"the input is {size} bytes, above {MAX_REQUEST_INPUT_BYTES}; nothing was sent")
        request = r.StartPipeline(
            event_id=str(uuid4()),  # not derived: two different requests under one id must differ
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            pipeline_id=ids.pipeline_id(wanted.tenant, wanted.request_id),
            user_id=wanted.user,
            request_id=wanted.request_id,
            name=definition.name,
            initial_input=wanted.input,
            stages=[spec_of(stage) for stage in definition.flat()],
            metadata=wanted.metadata,
        )
        try:
            started = await self._ask(request)
        except RecordTooLarge as exc:
            raise PayloadTooLarge(
                f"definition and input together do not fit into one record ({exc}); nothing was sent. "
                "Shorten the prompts, or let stages share one that says what to do with {previous_output}"
            ) from exc
        return started.model_copy(update={"request_id": wanted.request_id, "named_by_caller": named_by_caller})

    async def follow(
        self, which: StartedPipeline | PipelineArguments, timeout_s: float | None
    ) -> AsyncGenerator[PipelineEvent, None]:
        """The events of a pipeline as they happen, up to one that ends it and is followed by no resumption."""
        give_up_at_s = None if timeout_s is None else time.monotonic() + timeout_s
        asked = which if isinstance(which, StartedPipeline) else None
        wanted = which if isinstance(which, PipelineArguments) else _arguments(which)
        past: list[PipelineRecord] = []
        if asked is not None and not asked.named_by_caller:
            partition, position = await self._partition(wanted), asked.events_offset
        else:
            past, partition, position = await self._until_now(wanted)
        last: PipelineEvent | None = None
        for record in past:
            if isinstance(record, PipelineEvent):
                yield record
                last = record
            else:
                _raise_if_refused(record, asked)
        if asked is None and last is None:
            state_of(wanted.pipeline_id, past, {})  # says why there is nothing
        if isinstance(last, Ending):
            if asked is not None:
                await self._refusal(asked, partition)
            return
        async with aclosing(self._tail.read({partition: position}, give_up_at_s)) as records:
            async for new in records:
                if not is_about(new, wanted.tenant, wanted.user, wanted.pipeline_id):
                    continue
                if isinstance(new, PipelineEvent):
                    yield new
                    if isinstance(new, Ending):
                        return
                elif isinstance(new, PipelineRecord):
                    _raise_if_refused(new, asked)
        raise FollowTimeout(
            f"pipeline {wanted.pipeline_id} did not end within {timeout_s:g} s; it goes on, and "
            f"`penstock pipeline get {wanted.pipeline_id} --tenant {wanted.tenant}` shows it"
        )

    async def state(self, wanted: PipelineArguments) -> Pipeline:
        """A pipeline as of now: loaded, or still only on Kafka."""
        events, _, _ = await self._until_now(wanted)
        return state_of(wanted.pipeline_id, events, await self._reading.costs(wanted))

    async def cancel(self, wanted: CancelPipelineArguments) -> Pipeline:
        """Ask for the end of a pipeline; returns its state once it has ended, cancelled or otherwise."""
        request = r.CancelPipeline(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            pipeline_id=wanted.pipeline_id,
            user_id=wanted.user,
            reason=wanted.reason,
        )
        asked = await self._ask(request)
        try:
            await self._first(asked, Ending, CANCELLED_WITHIN_S, "cancellation")
        except PipelineRejected as exc:
            raise AlreadyEnded(f"pipeline {wanted.pipeline_id!r} cannot be cancelled: {exc.detail}") from exc
        return await self.state(_arguments(asked))

    async def resume(self, wanted: PipelineArguments) -> StartedPipeline:
        """Ask for the rest of a failed pipeline; returns once it goes on."""
        request = r.ResumePipeline(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            pipeline_id=wanted.pipeline_id,
            user_id=wanted.user,
        )
        asked = await self._ask(request)
        await self._first(asked, r.PipelineResumed, CONFIRMED_WITHIN_S, "resumption")
        return asked

    async def _ask(self, request: r.StartPipeline | r.CancelPipeline | r.ResumePipeline) -> StartedPipeline:
        partition = await self._kafka.partition_of(PIPELINES_EVENTS, request.pipeline_id)
        ends = await self._kafka.end_offsets([partition])
        with sending_span(PIPELINES_REQUESTS, request.pipeline_id, "pipeline"):
            await self._submitting.produce(PIPELINES_REQUESTS, request)
        return StartedPipeline(
            pipeline_id=request.pipeline_id,
            tenant_id=request.tenant_id,
            user_id=request.user_id,
            event_id=request.event_id,
            events_offset=ends[partition],
        )

    async def _first(self, asked: StartedPipeline, kind: type | UnionType, within_s: float, what: str) -> None:
        """Wait for the first event of `kind` that came after the request, or its refusal."""
        wanted = _arguments(asked)
        partition = await self._partition(wanted)
        positions = {partition: asked.events_offset}
        async with aclosing(self._tail.read(positions, time.monotonic() + within_s)) as records:
            async for record in records:
                if not is_about(record, wanted.tenant, None, wanted.pipeline_id):
                    continue
                if isinstance(record, PipelineRecord):
                    _raise_if_refused(record, asked)
                if isinstance(record, kind):
                    return
        raise NotConfirmed(
            f"the {what} of pipeline {asked.pipeline_id!r} is on Kafka, and pipelines has not confirmed it within "
            f"{within_s:g} s; it does once the streams process runs (`penstock status`)"
        )

    async def _refusal(self, asked: StartedPipeline, partition: TopicPartition) -> None:
        """Give the refusal of a request whose id had been used for another one a moment to come."""
        give_up_at_s = time.monotonic() + REFUSED_WITHIN_S
        async with aclosing(self._tail.read({partition: asked.events_offset}, give_up_at_s)) as records:
            async for record in records:
                if isinstance(record, PipelineRecord):
                    _raise_if_refused(record, asked)

    async def _until_now(self, wanted: PipelineArguments) -> tuple[list[PipelineRecord], TopicPartition, int]:
        """What exists of a pipeline, its partition, and the offset at which what is to come begins.

        What is loaded is looked up before the pipeline's own rows are: loaded in between, they are on both sides
        and are told apart by their ids.
        """
        partition = await self._partition(wanted)
        position = await self._reading.loaded_up_to(partition.partition)
        found = await self._reading.events(wanted)
        end = (await self._kafka.end_offsets([partition]))[partition]
        if position < end:
            known = {record.event_id for record in found}
            give_up_at_s = time.monotonic() + CONFIRMED_WITHIN_S
            async with aclosing(self._tail.read({partition: position}, give_up_at_s, until=end)) as records:
                found += [
                    record
                    async for record in records
                    if is_about(record, wanted.tenant, wanted.user, wanted.pipeline_id)
                    and isinstance(record, PipelineRecord)
                    and record.event_id not in known
                ]
        return found, partition, max(position, end)

    async def _partition(self, wanted: PipelineArguments) -> TopicPartition:
        return await self._kafka.partition_of(PIPELINES_EVENTS, wanted.pipeline_id)


def spec_of(stage: FlatStage) -> r.StageSpec:
    """A stage as it travels."""
    given = stage.definition
    return r.StageSpec(
        name=stage.name,
        agent_type=given.agent,
        queue=given.queue,
        model=given.model,
        prompt_template=given.prompt,
        max_attempts=given.max_attempts,
        timeout_s=given.timeout_s,
        max_tokens=given.max_tokens,
        step=stage.step,
        artifacts=stage.artifacts,
        artifact_patterns=list(stage.artifact_patterns),
    )


def _arguments(asked: StartedPipeline) -> PipelineArguments:
    return PipelineArguments(tenant=asked.tenant_id, user=asked.user_id, pipeline_id=asked.pipeline_id)


def _raise_if_refused(record: PipelineRecord, asked: StartedPipeline | None) -> None:
    if not isinstance(record, r.PipelineRequestRefused) or asked is None:
        return
    if record.refused_event_id != asked.event_id:
        return
    if record.reason == "not_found":
        raise NotFound(f"no pipeline {record.pipeline_id!r} of this tenant or user: {record.detail}")
    raise PipelineRejected(record.reason, record.detail)
