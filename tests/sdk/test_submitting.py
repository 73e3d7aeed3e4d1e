"""Writing: what reaches Kafka, where, and what never does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from penstock.arguments import RunArguments, checked
from penstock.client import Client
from penstock.connecting import KafkaConnection
from penstock.errors import (
    ClickHouseUnreachable,
    InvalidInput,
    KafkaUnreachable,
    PayloadTooLarge,
    PenstockError,
    RegistryUnreachable,
)
from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock.submitting import Submitting
from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.routing import partition_for
from penstock_schemas.topics import ACCOUNTS_REQUESTS
from tests.sdk.platform import NOWHERE, PARTITIONS, SCRIPTED_ONLY, Platform

pytestmark = pytest.mark.integration


async def sent_since(platform: Platform, tenant: str, before: dict[Any, int]) -> list[tuple[int, r.Record]]:
    """(partition, record) of what `tenant` has on the requests topic after `before`."""
    found = []
    async with platform.connection.consumer_at(before) as consumer:
        ends = await platform.connection.end_offsets(list(before))
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for messages in (await consumer.getmany(timeout_ms=1000)).values():
                for m in messages:
                    record = await platform.encoding.decode(m.topic, m.value)
                    assert m.key == record.tenant_id.encode()
                    found.append((m.partition, record))
    return [(partition, record) for partition, record in found if record.tenant_id == tenant]


async def ends(platform: Platform) -> dict[Any, int]:
    partitions = {await platform.connection.partition_of(ACCOUNTS_REQUESTS, str(n)) for n in range(50)}
    assert len(partitions) == PARTITIONS
    return await platform.connection.end_offsets(sorted(partitions))


async def test_a_request_lands_on_its_tenants_partition_with_everything_asked_for(
    platform: Platform, client: Client
):
    before = await ends(platform)
    submission = await client.submit(
        "echo",
        "hello",
        tenant=SCRIPTED_ONLY,
        request_id="all-of-it",
        user="ann",
        model="gpt-4",
        max_tokens=10,
        timeout_s=20,
        max_attempts=2,
        queue="agents-default",
        metadata={"team": "blue"},
    )
    ((partition, record),) = await sent_since(platform, SCRIPTED_ONLY, before)
    assert partition == partition_for(SCRIPTED_ONLY, PARTITIONS)
    assert submission.execution_id == ids.execution_id(SCRIPTED_ONLY, "all-of-it")
    assert isinstance(record, r.RequestExecution)
    assert abs(record.occurred_at / 1e6 - time.time()) < 60
    of_pipelines = {"parent_reservation", "pipeline_id", "stage_index", "previous_outputs", "previous_outputs_ref"}
    of_pipelines |= {"artifact_patterns", "handed_artifacts"}
    assert not any(record.model_dump(include=of_pipelines).values())
    asked = record.model_dump(exclude={"occurred_at", "input_ref", *of_pipelines})
    assert asked == {
        "event_id": submission.event_id,
        "tenant_id": SCRIPTED_ONLY,
        "request_id": "all-of-it",
        "user_id": "ann",
        "agent_type": "echo",
        "model": "gpt-4",
        "input": "hello",
        "max_tokens": 10,
        "timeout_s": 20,
        "max_attempts": 2,
        "reserve_tokens": None,
        "queue": "agents-default",
        "metadata": {"team": "blue"},
        "conversation_id": None,
        "turn_number": None,
        "history": [],
    }


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("tenant", "a/b"),
        ("tenant", ""),
        ("tenant", "x" * 10_000),
        ("tenant", "_penstock"),
        ("agent", "no spaces"),
        ("agent", ""),
        ("input", "lone surrogate \ud800"),
        ("request_id", ""),
        ("user", "u" * 257),
        ("model", ""),
        ("max_tokens", -1),
        ("max_tokens", 0),
        ("max_tokens", 1 << 63),
        ("timeout_s", 0),
        ("max_attempts", 0),
        ("queue", "not/a/queue"),
        ("metadata", {"k": 1}),
    ],
)
async def test_an_argument_that_breaks_the_contract_is_named_and_nothing_is_sent(
    platform: Platform, client: Client, argument: str, value: object
):
    before = await ends(platform)
    arguments: dict[str, Any] = {"agent": "echo", "input": "x", "tenant": SCRIPTED_ONLY} | {argument: value}
    with pytest.raises(InvalidInput, match=f"^{argument}") as caught:
        await client.submit(**arguments)
    assert len(str(caught.value)) < 300
    assert await ends(platform) == before


async def test_a_large_input_goes_inline_without_a_store_and_by_reference_with_one(platform: Platform, tmp_path):
    large = "ä" * 64 * 1024  # 128 KiB
    async with platform.client() as client:
        before = await ends(platform)
        await client.submit("echo", large, tenant=SCRIPTED_ONLY)
        ((_, record),) = await sent_since(platform, SCRIPTED_ONLY, before)
        assert (record.input, record.input_ref) == (large, None)
    async with platform.client(artifacts=ArtifactSettings(url=str(tmp_path))) as client:
        before = await ends(platform)
        await client.submit("echo", large, tenant=SCRIPTED_ONLY)
        ((_, record),) = await sent_since(platform, SCRIPTED_ONLY, before)
        assert record.input is None
        assert record.input_ref.size == 128 * 1024


async def test_an_input_above_256_kib_needs_a_store(client: Client):
    with pytest.raises(PayloadTooLarge, match=r"307200 bytes.*PENSTOCK_ARTIFACTS_URL"):
        await client.submit("echo", "x" * 300 * 1024, tenant=SCRIPTED_ONLY)


@pytest.mark.parametrize(
    ("missing", "error", "setting"),
    [
        (
            {"kafka": KafkaSettings(bootstrap_servers=NOWHERE)},
            KafkaUnreachable,
            "PENSTOCK_KAFKA_BOOTSTRAP_SERVERS",
        ),
        ({"registry": RegistrySettings(url=f"http://{NOWHERE}/v7")}, RegistryUnreachable, "PENSTOCK_REGISTRY_URL"),
        ({"clickhouse": ClickHouseSettings(port=1)}, ClickHouseUnreachable, "PENSTOCK_CLICKHOUSE_HOST"),
    ],
)
async def test_a_server_that_is_not_there_is_named_with_its_address_and_setting(
    platform: Platform, missing: dict[str, Any], error: type[PenstockError], setting: str
):
    async with platform.client(**missing, answer_within_s=2) as client:
        started = time.monotonic()
        call = client.bill("acme") if "clickhouse" in missing else client.submit("echo", "x", tenant=SCRIPTED_ONLY)
        with pytest.raises(error) as caught:
            await call
        assert time.monotonic() - started < 10
    assert "127.0.0.1:1" in str(caught.value)
    assert setting in str(caught.value)
    assert caught.value.exit_code == 4


async def test_a_cluster_that_never_answers_is_given_up_on_in_time(platform: Platform):
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)  # accepts, says nothing
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    async with (
        silent,
        platform.client(kafka=KafkaSettings(bootstrap_servers=address), answer_within_s=1) as client,
    ):
        started = time.monotonic()
        with pytest.raises(KafkaUnreachable, match=address):
            await client.submit("echo", "x", tenant=SCRIPTED_ONLY)
        assert time.monotonic() - started < 10


async def test_usage_from_outside_is_written_where_its_tenant_is(platform: Platform, client: Client):
    before = await ends(platform)
    await client.record_usage(
        tenant=SCRIPTED_ONLY, usage_id="call-1", model="gpt-4", input_tokens=5, output_tokens=7
    )
    ((partition, record),) = await sent_since(platform, SCRIPTED_ONLY, before)
    assert partition == partition_for(SCRIPTED_ONLY, PARTITIONS)
    assert (record.usage_id, record.input_tokens, record.output_tokens) == ("call-1", 5, 7)
    with pytest.raises(InvalidInput, match="output_tokens -1"):
        await client.record_usage(
            tenant=SCRIPTED_ONLY, usage_id="call-2", model="gpt-4", input_tokens=5, output_tokens=-1
        )


async def test_a_request_without_an_acknowledgement_may_be_sent_again_and_the_error_says_how(platform: Platform):
    class Silent(KafkaConnection):
        """Everything answers but the write."""

        async def send(self, to: Any, value: bytes, **other: Any) -> int:
            raise KafkaUnreachable("Kafka did not answer.")

    kafka = Silent(platform.kafka, 10.0)
    run = checked(RunArguments, agent="echo", input="x", tenant=SCRIPTED_ONLY, request_id="mine")
    with pytest.raises(KafkaUnreachable, match=r"may or may not have arrived.*request_id 'mine'"):
        await Submitting(kafka, platform.encoding, None).submit(run, named_by_caller=True)
    await kafka.close()
