"""Pipelines by their records alone, for tests and benchmarks of the stage itself."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import penstock
from penstock.event_tail import EventTail
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.topics import PIPELINES_EVENTS, PIPELINES_REQUESTS

ENDS = (r.PipelineCompleted, r.PipelineFailed, r.PipelineCancelled, r.PipelineRequestRefused)
WITHIN_S = 90.0


def spec(name: str, step: int, template: str | None = None, **fields: Any) -> r.StageSpec:
    values: dict[str, Any] = {"agent_type": "echo", "prompt_template": template} | fields
    return r.StageSpec(name=name, step=step, **values)


def request(tenant: str, *stages: r.StageSpec, **fields: Any) -> r.StartPipeline:
    """A pipeline nobody has asked for before."""
    request_id = fields.pop("request_id", None) or str(uuid4())
    values: dict[str, Any] = {"initial_input": "begin", "user_id": "ann"} | fields
    return r.StartPipeline(
        event_id=str(uuid4()),
        tenant_id=tenant,
        occurred_at=time.time_ns() // 1000,
        pipeline_id=ids.pipeline_id(tenant, request_id),
        request_id=request_id,
        stages=list(stages),
        **values,
    )


class Piping:
    """Sends requests and reads what becomes of them, each event once."""

    def __init__(self, client: penstock.Client) -> None:
        self._client = client

    async def ask(
        self, asked: r.StartPipeline | r.CancelPipeline | r.ResumePipeline, until: type[r.Record] | None = None
    ) -> list[Any]:
        """Send `asked`; the pipeline's events from then on, up to its end or the first `until`.

        Raises:
            TimeoutError: neither came.
        """
        kafka = self._client._kafka
        partition = await kafka.partition_of(PIPELINES_EVENTS, asked.pipeline_id)
        ends = await kafka.end_offsets([partition])
        await self._client._submitting.produce(PIPELINES_REQUESTS, asked)
        seen: list[Any] = []
        tail = EventTail(kafka, self._client._encoding, PIPELINES_EVENTS)
        async with aclosing(tail.read(ends, time.monotonic() + WITHIN_S)) as records:
            async for record in records:
                if getattr(record, "pipeline_id", None) != asked.pipeline_id:
                    continue
                seen.append(record)
                if isinstance(record, until or ENDS):
                    return seen
        raise TimeoutError(f"no end of {asked.pipeline_id}; seen: {[type(one).__name__ for one in seen]}")

    async def text(self, event: Any) -> str:
        """The output an event carries."""
        if event.output_ref is None:
            return str(event.output)
        assert self._client._payloads is not None
        return (await self._client._payloads.get(event.output_ref)).decode()


def about(asked: r.StartPipeline, **fields: Any) -> dict[str, Any]:
    """Field values of a request about a pipeline that was asked for."""
    values: dict[str, Any] = {
        "event_id": str(uuid4()),
        "tenant_id": asked.tenant_id,
        "occurred_at": time.time_ns() // 1000,
        "pipeline_id": asked.pipeline_id,
    }
    return values | fields
