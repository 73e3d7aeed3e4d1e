"""A broker that dies under a follower."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from penstock import event_tail, lane
from penstock.client import Client
from penstock.errors import KafkaUnreachable
from penstock.settings import ArtifactSettings, KafkaSettings, RegistrySettings
from penstock.submitting import Submitting
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_EVENTS, TOPICS
from penstock_services.topic_admin import apply_topics
from tests.fixtures.kafka import own_kafka
from tests.sdk import script
from tests.sdk.platform import PARTITIONS, SCRIPTED_ONLY, Platform

pytestmark = pytest.mark.integration


async def test_it_is_noticed_and_a_follower_goes_on_when_it_is_back(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane, "SILENCE_S", 0.5)
    async with own_kafka(tmp_path) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap)
        await apply_topics(kafka, TOPICS.values(), PARTITIONS)
        registry = RegistrySettings(url=platform.registry.url)
        async with Client(
            kafka=kafka, registry=registry, artifacts=ArtifactSettings(), answer_within_s=3
        ) as client:
            submission = await client.submit("echo", "x", tenant=SCRIPTED_ONLY)
            run = script.Execution(SCRIPTED_ONLY, submission.request_id)
            writing = Submitting(client._kafka, client._encoding, None)
            await writing.produce(EXECUTIONS_EVENTS, script.stamped(run.admitted()))
            async with aclosing(client.follow(run.id)) as records:
                assert isinstance(await anext(records), r.ExecutionAdmitted)
                await broker.kill()
                with pytest.raises(KafkaUnreachable, match=broker.bootstrap):
                    await anext(records)
            await broker.restart()
            await writing.produce(EXECUTIONS_EVENTS, script.stamped(run.completed("after all")))
            assert await client.result(run.id, timeout_s=30) == "after all"


async def test_it_is_noticed_under_a_follower_of_a_pipeline(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_tail, "SILENCE_S", 0.5)
    async with own_kafka(tmp_path) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap)
        await apply_topics(kafka, TOPICS.values(), PARTITIONS)
        registry = RegistrySettings(url=platform.registry.url)
        async with Client(
            kafka=kafka, registry=registry, artifacts=ArtifactSettings(), answer_within_s=3
        ) as client:
            started = await client.start_pipeline({"stages": [{"agent": "echo"}]}, "x", tenant=SCRIPTED_ONLY)
            await broker.kill()
            with pytest.raises(KafkaUnreachable, match=broker.bootstrap):
                await client.pipeline_result(started)
