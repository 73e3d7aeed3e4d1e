"""The client about pipelines, against the real servers and a script in place of the stage."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

import penstock
from penstock.client import Client
from penstock.errors import (
    AlreadyEnded,
    FollowTimeout,
    InvalidInput,
    InvalidPipeline,
    NotFound,
    PayloadTooLarge,
    PipelineCancelledError,
    PipelineFailedError,
    PipelineRejected,
)
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.topics import PIPELINES_REQUESTS
from tests.sdk.platform import Platform, until
from tests.sdk.script import charge_of

pytestmark = pytest.mark.integration
TWO_STAGES: dict[str, Any] = {
    "name": "report",
    "stages": [
        {"agent": "echo", "name": "Research"},
        {"agent": "echo", "name": "Write", "prompt": "Write: {previous_output}"},
    ],
}
WITHIN_S = 30.0


async def events_of(client: Client, which: Any, **whose: Any) -> list[str]:
    events = client.follow_pipeline(which, timeout_s=WITHIN_S, **whose)
    return [type(event).__name__ + getattr(event, "stage_name", "") async for event in events]


async def loaded(client: Client, pipeline_id: str, status: str, tenant: str = "acme") -> penstock.Pipeline:
    """The pipeline as ClickHouse lists it, once it is loaded so far."""

    async def found() -> penstock.Pipeline | None:
        listed = await client.list_pipelines(tenant, status=status)
        return next((each for each in listed if each.pipeline_id == pipeline_id), None)

    return await until(found)


async def test_a_pipeline_is_followed_from_its_request_to_its_result(client: Client) -> None:
    started = await client.start_pipeline(TWO_STAGES, "cats", tenant="acme", user="ann", metadata={"for": "bob"})
    assert await events_of(client, started) == [
        "PipelineStarted",
        "StageStartedResearch",
        "StageCompletedResearch",
        "StageStartedWrite",
        "StageCompletedWrite",
        "PipelineCompleted",
    ]
    assert await client.pipeline_result(started, timeout_s=WITHIN_S) == "Write: cats"
    state = await client.pipeline(started.pipeline_id, tenant="acme", user="ann")
    assert (state.status, state.name, state.stage_count, state.completed_stages) == ("completed", "report", 2, 2)
    assert (state.used_tokens, state.output, state.metadata) == (20, "Write: cats", {"for": "bob"})
    assert [(stage.name, stage.status, stage.output) for stage in state.stages] == [
        ("Research", "completed", "Research: cats"),
        ("Write", "completed", "Write: cats"),
    ]


async def test_what_is_asked_for_arrives_as_it_was_written(client: Client, platform: Platform) -> None:
    partitions = await platform.connection.partitions_of(PIPELINES_REQUESTS)
    ends = await platform.connection.end_offsets(partitions)
    given = {"agent": "echo", "name": "One", "queue": "agents-default", "model": "m", "prompt": "{initial_input}"}
    limits = {"retries": 2, "timeout_s": 7, "max_tokens": 9, "artifacts": ["out/*"]}
    group = {"parallel": [{"agent": "echo"}, {"agent": "echo"}]}
    started = await client.start_pipeline(
        {"stages": [given | limits, group]}, "x", tenant="acme", request_id="r-1"
    )
    assert started.pipeline_id == ids.pipeline_id("acme", "r-1")
    async with platform.connection.consumer_at(ends) as consumer:
        message = await consumer.getone()
    sent = await platform.encoding.decode(message.topic, message.value)
    assert isinstance(sent, r.StartPipeline)
    assert sent.stages[0] == r.StageSpec(
        name="One",
        agent_type="echo",
        queue="agents-default",
        model="m",
        prompt_template="{initial_input}",
        max_attempts=3,
        timeout_s=7,
        max_tokens=9,
        step=0,
        artifacts=True,
        artifact_patterns=["out/*"],
    )
    assert [(stage.name, stage.step) for stage in sent.stages[1:]] == [("Stage 2", 1), ("Stage 3", 1)]


async def test_an_id_is_followed_from_the_past_and_across_a_resumption(client: Client, platform: Platform) -> None:
    started = await client.start_pipeline(TWO_STAGES, "broken", tenant="acme")
    with pytest.raises(PipelineFailedError, match="failed at stage 'Write': it broke") as failed:
        await client.pipeline_result(started, timeout_s=WITHIN_S)
    assert failed.value.failed_at_stage == "Write"
    listed = await loaded(client, started.pipeline_id, "failed")
    assert (listed.failed_at_stage, listed.error, listed.completed_stages, listed.used_tokens) == (
        "Write",
        "it broke",
        1,
        13,
    )
    resumed = await client.resume_pipeline(started.pipeline_id, tenant="acme")
    rest = ["PipelineResumed", "StageStartedWrite", "StageCompletedWrite", "PipelineCompleted"]
    assert await events_of(client, resumed) == rest
    async with platform.client() as other:
        everything = await events_of(other, started.pipeline_id, tenant="acme")
    assert everything[4:] == ["StageFailedWrite", "PipelineFailed", *rest]
    state = await client.pipeline(started.pipeline_id, tenant="acme")
    assert (state.status, state.epoch, state.error, state.used_tokens) == ("completed", 2, None, 20)
    assert [(stage.epoch, stage.status) for stage in state.stages] == [(1, "completed"), (2, "completed")]
    assert await client.pipeline_result(started.pipeline_id, tenant="acme") == "written after all"


async def test_a_request_id_used_again_long_after_is_answered_from_the_past(
    client: Client, platform: Platform
) -> None:
    first = await client.start_pipeline(TWO_STAGES, "again", tenant="acme", request_id="once")
    assert await client.pipeline_result(first, timeout_s=WITHIN_S) == "Write: again"
    await loaded(client, first.pipeline_id, "completed")
    async with platform.client() as later:
        second = await later.start_pipeline(TWO_STAGES, "again", tenant="acme", request_id="once")
        assert second.pipeline_id == first.pipeline_id
        assert await later.pipeline_result(second, timeout_s=WITHIN_S) == "Write: again"
        unnamed = second.model_copy(update={"named_by_caller": False})
        with pytest.raises(FollowTimeout):  # the control: who does not look into the past waits in vain
            await later.pipeline_result(unnamed, timeout_s=2)
        other = await later.start_pipeline(TWO_STAGES, "something else", tenant="acme", request_id="once")
        with pytest.raises(PipelineRejected) as refused:
            await later.pipeline_result(other, timeout_s=WITHIN_S)
        assert refused.value.reason == "duplicate_mismatch"


async def test_a_pipeline_that_is_not_started_says_why(client: Client) -> None:
    started = await client.start_pipeline(TWO_STAGES, "x", tenant="poor")
    with pytest.raises(PipelineRejected, match="budget_exceeded: 200 tokens are left"):
        await client.pipeline_result(started, timeout_s=WITHIN_S)
    with pytest.raises(PipelineRejected, match="budget_exceeded"):
        await client.pipeline(started.pipeline_id, tenant="poor")


async def test_a_running_pipeline_is_cancelled_once(client: Client) -> None:
    started = await client.start_pipeline(TWO_STAGES, "stuck", tenant="acme", user="ann")
    with pytest.raises(FollowTimeout, match="penstock pipeline get"):
        await client.pipeline_result(started, timeout_s=2)
    with pytest.raises(NotFound, match="this user has no such"):
        await client.cancel_pipeline(started.pipeline_id, tenant="acme", user="stranger")
    ended = await client.cancel_pipeline(started.pipeline_id, tenant="acme", user="ann", reason="changed my mind")
    assert (ended.status, ended.reason) == ("cancelled", "changed my mind")
    with pytest.raises(PipelineCancelledError, match="changed my mind"):
        await client.pipeline_result(started, timeout_s=WITHIN_S)
    with pytest.raises(AlreadyEnded, match="completed already"):
        await client.cancel_pipeline(started.pipeline_id, tenant="acme", reason="too late")


async def test_what_cannot_be_resumed_says_why(client: Client) -> None:
    started = await client.start_pipeline(TWO_STAGES, "x", tenant="acme", user="hasty")
    with pytest.raises(PipelineRejected, match="not_failed"):
        await client.resume_pipeline(started.pipeline_id, tenant="acme", user="hasty")


async def test_another_tenants_pipeline_another_users_and_none_are_the_same(client: Client) -> None:
    started = await client.start_pipeline(TWO_STAGES, "mine", tenant="acme", user="ann")
    await client.pipeline_result(started, timeout_s=WITHIN_S)
    nowhere = {"tenant": "acme"}
    for pipeline_id, whose in (
        (started.pipeline_id, {"tenant": "globex"}),
        (started.pipeline_id, {"tenant": "acme", "user": "bob"}),
        (str(uuid4()), nowhere),
    ):
        for reading in (client.pipeline, client.pipeline_result):
            with pytest.raises(NotFound, match="no pipeline"):
                await reading(pipeline_id, **whose)


async def test_nothing_is_sent_of_what_cannot_run(client: Client, platform: Platform) -> None:
    partitions = await platform.connection.partitions_of(PIPELINES_REQUESTS)
    ends = await platform.connection.end_offsets(partitions)
    for definition, input_text, error in (
        ({"stages": []}, "x", InvalidPipeline),
        ("stages: [{agent: echo, promt: x}]", "x", InvalidPipeline),
        (TWO_STAGES, "x" * (256 * 1024 + 1), PayloadTooLarge),
        ({"stages": [{"agent": "echo", "prompt": "y" * 30_000}] * 40}, "x", PayloadTooLarge),
        (TWO_STAGES, "\ud800", InvalidInput),
    ):
        with pytest.raises(error):
            await client.start_pipeline(definition, input_text, tenant="acme")
    for wrong in (
        {"tenant": "no such"},
        {"tenant": "acme", "user": ""},
        {"tenant": "acme", "request_id": "r" * 257},
    ):
        with pytest.raises(InvalidInput):
            await client.start_pipeline(TWO_STAGES, "x", **wrong)
    with pytest.raises(InvalidInput, match="only within its tenant"):
        await client.pipeline_result("some-id")
    assert await platform.connection.end_offsets(partitions) == ends


async def test_stages_have_what_they_cost(client: Client, platform: Platform) -> None:
    started = await client.start_pipeline(TWO_STAGES, "cost", tenant="acme")
    await client.pipeline_result(started, timeout_s=WITHIN_S)
    state = await client.pipeline(started.pipeline_id, tenant="acme")
    await platform.emit(charge_of("acme", state.stages[0].execution_id, cost_nanousd=1_500_000))

    async def charged() -> penstock.Pipeline | None:
        found = await client.pipeline(started.pipeline_id, tenant="acme")
        return found if found.cost_nanousd else None

    found = await until(charged)
    assert (found.cost_usd, [stage.cost_nanousd for stage in found.stages]) == ("0.001500", [1_500_000, 0])


async def test_the_synchronous_client_does_the_same(platform: Platform) -> None:
    def scene() -> tuple[list[str], str, str]:
        settings = {"kafka": platform.kafka, "registry": platform.registry, "clickhouse": platform.clickhouse}
        with penstock.SyncClient(**settings) as client:
            started = client.start_pipeline(TWO_STAGES, "sync", tenant="acme")
            seen = [type(event).__name__ for event in client.follow_pipeline(started, timeout_s=WITHIN_S)]
            output = client.pipeline_result(started.pipeline_id, tenant="acme", timeout_s=WITHIN_S)
            return seen, output, client.pipeline(started.pipeline_id, tenant="acme").status

    seen, output, status = await asyncio.to_thread(scene)
    assert (seen[0], seen[-1], output, status) == (
        "PipelineStarted",
        "PipelineCompleted",
        "Write: sync",
        "completed",
    )
