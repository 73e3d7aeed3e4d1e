"""A registry that starts answers before it has read its schemas: what it does not know then counts for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from penstock_schemas import topics
from penstock_schemas.errors import ContractError, RegistryUnreachable
from penstock_schemas.registry import SchemaRegistry
from penstock_services.embedded.ports import free_ports
from penstock_services.embedded.process import running
from penstock_services.embedded.registry import registry_process
from penstock_services.embedded.registry import registry_url as confluent_url
from tests.fixtures.kafka import java_and_servers, own_kafka

TOPIC, RECORD = topics.ACCOUNTS_EVENTS, topics.ACCOUNTS_EVENTS.records[-1]
ASK_EVERY_S = 0.005
T = TypeVar("T")


@pytest.mark.integration
async def test_a_restarted_registry_never_denies_what_was_registered(tmp_path: Path) -> None:
    java, jars = await java_and_servers()
    (port,) = free_ports(1)
    async with own_kafka(tmp_path) as kafka, SchemaRegistry(confluent_url(port)) as registry:
        spec = registry_process(java, jars, port, tmp_path / "registry.log", kafka_bootstrap=kafka.bootstrap)
        async with running(spec):
            await registry.register_all(topics.TOPICS.values())
            registered = await registry.id_of(TOPIC, RECORD)

        async with SchemaRegistry(confluent_url(port)) as registry:  # the one above has seen the schema
            wanted = [
                asyncio.create_task(until_it_answers(lambda: registry.schema_by_id(registered))),
                asyncio.create_task(until_it_answers(lambda: registry.id_of(TOPIC, RECORD))),
                asyncio.create_task(until_it_answers(lambda: registry.register_all([TOPIC]))),
            ]
            async with running(spec):
                schema, schema_id, again = await asyncio.gather(*wanted)
        assert schema is not None
        assert schema["name"] == RECORD.__name__
        assert schema_id == registered
        assert registered in {each.schema_id for each in again}


@pytest.mark.parametrize(
    "ask",
    [
        lambda registry: registry.schema_by_id(7),
        lambda registry: registry.id_of(TOPIC, RECORD),
        lambda registry: registry.register_all([TOPIC]),
    ],
    ids=["schema_by_id", "id_of", "register_all"],
)
async def test_absence_is_no_answer_while_the_registry_starts(
    ask: Callable[[SchemaRegistry], Awaitable[object]],
) -> None:
    async with registry_that_knows_nothing(ready=503) as url, SchemaRegistry(url) as registry:
        with pytest.raises(RegistryUnreachable, match="not ready: .*/prefix/health/ready answered 503"):
            await ask(registry)


@pytest.mark.parametrize("ready", [200, 404], ids=["ready", "behind a proxy that passes only the API"])
async def test_absence_is_believed_from_a_registry_that_is_ready(ready: int) -> None:
    async with registry_that_knows_nothing(ready=ready) as url, SchemaRegistry(url) as registry:
        assert await registry.schema_by_id(7) is None
        with pytest.raises(ContractError, match="penstock schemas register"):
            await registry.id_of(TOPIC, RECORD)


async def test_confluents_own_registry_is_not_asked_whether_it_is_ready() -> None:
    async with (
        registry_that_knows_nothing(ready=503) as url,
        SchemaRegistry(url.removesuffix("/apis/ccompat/v7")) as registry,
    ):
        assert await registry.schema_by_id(7) is None


@pytest.mark.integration
async def test_two_who_register_at_once_both_succeed(registry_url: str) -> None:
    topic = replace(TOPIC, name="test.registered.at.once")
    async with SchemaRegistry(registry_url) as one, SchemaRegistry(registry_url) as other:
        done = await asyncio.gather(*(each.register_all([topic]) for each in (one, other) * 4))
    assert all(each == done[0] for each in done)


async def until_it_answers(ask: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await ask()
        except RegistryUnreachable:
            await asyncio.sleep(ASK_EVERY_S)


@asynccontextmanager
async def registry_that_knows_nothing(ready: int) -> AsyncIterator[str]:
    """A registry under a path prefix that answers 404 to everything but its readiness; its Confluent API's URL."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/prefix/health/ready":
            return web.json_response({}, status=ready)
        return web.json_response({"error_code": 40403}, status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/prefix/apis/ccompat/v7"))
