"""Reading from ClickHouse what the loader has put there, and giving dead letters back."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from penstock.client import Client
from penstock.errors import ClickHouseUnreachable, InvalidInput, NotFound
from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_REQUESTS
from tests.sdk.platform import NOWHERE, Platform, until

pytestmark = pytest.mark.integration


def dead_letter(value: bytes, size: int, partition: int = 0) -> r.DeadLetter:
    return r.DeadLetter(
        event_id=str(uuid4()),
        tenant_id="_penstock",
        source_topic=ACCOUNTS_REQUESTS.name,
        source_partition=partition,
        source_offset=12,
        source_timestamp=1_700_000_000_000_000,
        key=b"\xff\x00key",
        value=value,
        value_size=size,
        headers={"trace": b"\x80\x01"},
        error_code="bad_framing",
        error_message="not Confluent framing",
        stage="accounts",
    )


async def test_executions_are_listed_by_tenant_and_status_newest_first(client: Client):
    tenant = f"t{uuid4().hex[:8]}"
    first = await client.submit("echo", "one", tenant=tenant)
    assert await client.result(first.execution_id) == "one"
    second = await client.submit("broken", "two", tenant=tenant)
    found = await until(lambda: _listed(client, tenant, 2))
    assert [e.execution_id for e in found] == [second.execution_id, first.execution_id]
    assert [e.status for e in found] == ["failed", "completed"]
    assert found[1].output == "one"
    assert found[0].error_message == "it broke"
    assert [e.execution_id for e in await client.list(tenant, "failed")] == [second.execution_id]
    assert len(await client.list(tenant, limit=1)) == 1
    # The view and the fold of the records agree on what the state is.
    for listed in found:
        assert await client.get(listed.execution_id) == listed


async def _listed(client: Client, tenant: str, number: int):
    found = await client.list(tenant)
    ended = [e for e in found if e.finished_at]
    return found if len(ended) >= number else None


async def test_a_tenant_is_configured_when_the_call_returns_and_listed_later(client: Client):
    tenant = f"t{uuid4().hex[:8]}"
    configured = await client.configure_tenant(tenant, tier="pro", concurrency=7)
    assert (configured.tenant_id, configured.tier, configured.concurrency) == (tenant, "pro", 7)

    async def listed() -> bool:
        return configured in await client.tenants()

    await until(listed)


async def test_a_dead_letter_keeps_every_byte_and_goes_back_where_it_came_from(platform: Platform, client: Client):
    value = b"\x01\xff\x00not avro"
    letter = dead_letter(value, len(value), partition=2)
    await platform.emit(letter)
    found = await until(lambda: _letter(client, letter.event_id))
    assert (found.value, found.key, found.headers) == (value, letter.key, letter.headers)
    assert found.event_id in [other.event_id for other in await client.dead_letters.list()]
    replay = await client.dead_letters.replay(letter.event_id)
    assert (replay.topic, replay.partition) == (ACCOUNTS_REQUESTS.name, 2)
    message = await _read(platform, replay)
    assert (message.value, message.key) == (value, letter.key)
    assert dict(message.headers) == letter.headers | {"penstock-replay-of": letter.event_id.encode()}


async def test_a_dead_letter_that_decodes_now_goes_to_its_own_partition(platform: Platform, client: Client):
    usage = r.RecordUsage(
        event_id="u",
        occurred_at=1,
        tenant_id="acme",
        usage_id=str(uuid4()),
        model="m",
        input_tokens=1,
        output_tokens=1,
    )
    value = await platform.encoding.encode(ACCOUNTS_REQUESTS, usage)
    home = (await platform.connection.partition_of(ACCOUNTS_REQUESTS, "acme")).partition
    letter = dead_letter(value, len(value), partition=(home + 1) % 3)
    await platform.emit(letter)
    await until(lambda: _letter(client, letter.event_id))
    assert (await client.dead_letters.replay(letter.event_id)).partition == home


async def test_a_truncated_dead_letter_is_not_replayed(platform: Platform, client: Client):
    letter = dead_letter(b"x" * 100, 70_000)
    await platform.emit(letter)
    await until(lambda: _letter(client, letter.event_id))
    with pytest.raises(InvalidInput, match="holds 100 of 70000 bytes"):
        await client.dead_letters.replay(letter.event_id)


async def test_an_unknown_dead_letter_is_said_to_be_unknown(client: Client):
    with pytest.raises(NotFound, match="no dead letter 'nonsense'"):
        await client.dead_letters.get("nonsense")


async def test_a_database_without_the_schema_is_told_how_to_get_it(platform: Platform):
    empty = platform.clickhouse.model_copy(update={"database": "default"})
    async with platform.client(clickhouse=empty) as client:
        with pytest.raises(ClickHouseUnreachable, match="penstock clickhouse migrate"):
            await client.bill("acme")


async def test_prices_are_read_from_clickhouse_alone(platform: Platform):
    nowhere = KafkaSettings(bootstrap_servers=NOWHERE)
    async with platform.client(kafka=nowhere, registry=RegistrySettings(url=f"http://{NOWHERE}")) as client:
        assert isinstance(await client.prices(), list)


async def test_a_clickhouse_that_says_nothing_is_asked_once_and_named():
    asked: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        await reader.read()  # until the client gives up
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        _, port = server.sockets[0].getsockname()
        silent = ClickHouseSettings(host="127.0.0.1", port=port)
        async with Client(clickhouse=silent, answer_within_s=1) as client:
            with pytest.raises(ClickHouseUnreachable, match=f"127.0.0.1:{port} .* does not answer"):
                await client.prices()
    assert len(asked) == 1


async def _letter(client: Client, event_id: str):
    try:
        return await client.dead_letters.get(event_id)
    except NotFound:
        return None


async def _read(platform: Platform, replay):
    from aiokafka import TopicPartition

    async with platform.connection.consumer_at(
        {TopicPartition(replay.topic, replay.partition): replay.offset}
    ) as consumer:
        return await consumer.getone()
