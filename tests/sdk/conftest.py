"""The platform of these tests: own broker and registry subjects, own ClickHouse database, the real loader."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from penstock.client import Client
from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_consumers.loader import Loader
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import TOPICS
from penstock_services.clickhouse import migrate
from penstock_services.topic_admin import apply_topics
from tests.fixtures.kafka import own_kafka
from tests.sdk.platform import PARTITIONS, Platform, answering


@pytest.fixture(scope="session")
async def platform(
    tmp_path_factory: pytest.TempPathFactory, registry_url: str, clickhouse: ClickHouseSettings
) -> AsyncIterator[Platform]:
    """Every server, every topic, every schema, the loader, and a script that answers requests."""
    async with own_kafka(tmp_path_factory.mktemp("sdk")) as broker, SchemaRegistry(registry_url) as registry:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap)
        database = clickhouse.model_copy(update={"database": f"sdk_{secrets.token_hex(6)}"})
        await apply_topics(kafka, TOPICS.values(), PARTITIONS)
        await registry.register_all(TOPICS.values())
        await asyncio.to_thread(migrate, database)
        loader = Loader(kafka, database, Codec(registry))
        loading = asyncio.create_task(loader.run())
        connection, encoding = KafkaConnection(kafka, 10.0), Encoding(registry_url, 10.0)
        servers = Platform(kafka, RegistrySettings(url=registry_url), database, connection, encoding)
        async with answering(servers):
            yield servers
        loader.stop()
        await loading
        await connection.close()
        await encoding.close()


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[Client]:
    """A client of the platform."""
    async with platform.client() as client:
        yield client
